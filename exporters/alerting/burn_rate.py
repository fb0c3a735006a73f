"""Which rules say that a group's error budget burns too fast? From objectives and burn rates, both data."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml

from inventories.cells import seconds

FOLDER = Path(__file__).parent
OBJECTIVES_FILE = FOLDER / "objectives.toml"
BURN_RATES_FILE = FOLDER / "burn-rates.toml"
#: Windows up to this are renewed every minute, longer ones every two: a mean over three days changes slowly, and
#: reads seventeen thousand samples a series. Two minutes are well within the five that a sample stays valid.
_SHORT_WINDOW = 3600
_INTERVALS = {"jizuo-slo-short": "1m", "jizuo-slo-long": "2m"}

_Share = Annotated[str, msgspec.Meta(pattern=r"^0\.[0-9]{1,6}\Z")]
_Factor = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+(\.[0-9]+)?\Z")]
_Duration = Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]*[smhd]\Z")]


class Objective(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a kind of group promises: `series` is its recorded share of targets that answer."""

    name: str
    objective: _Share
    series: Annotated[str, msgspec.Meta(pattern=r"^[a-z]+:[a-z_]+:ratio\Z")]

    @property
    def budget(self) -> Decimal:
        """The share of errors that is allowed."""
        return 1 - Decimal(self.objective)


class BurnRate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A pair of windows, how many times the budget's own rate is too much, and how urgent that is."""

    long: _Duration
    short: _Duration
    factor: _Factor
    severity: Literal["critical", "warning"]


class _BurnRates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    source: str
    rate: tuple[BurnRate, ...]


class ObjectivesError(ValueError):
    """The file of objectives cannot be used; says where and why."""


def read_objectives(path: Path = OBJECTIVES_FILE) -> dict[str, Objective]:
    """The objectives by group.

    Raises:
        ObjectivesError: The file cannot be read, or does not have the form of `objectives.toml`.
    """
    try:
        document = msgspec.toml.decode(path.read_bytes())
        if document.pop("period", "30d") != "30d":
            raise ObjectivesError(f"{path}: period: burn rates are for 30d")
        return msgspec.convert(document, dict[str, Objective])
    except OSError as error:
        raise ObjectivesError(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ObjectivesError(f"{path}: {error}") from error


def read_burn_rates(path: Path = BURN_RATES_FILE) -> tuple[BurnRate, ...]:
    """The kit's own burn rates."""
    return msgspec.toml.decode(path.read_bytes(), type=_BurnRates).rate


def slo_rules(objectives: Mapping[str, Objective], rates: Sequence[BurnRate]) -> dict[str, Any]:
    """The document of rules: means over every window, and for each group an alert a severity."""
    windows = sorted({window for rate in rates for window in (rate.long, rate.short)}, key=_seconds)
    groups: list[dict[str, Any]] = []
    for (name, interval), chosen in zip(
        _INTERVALS.items(),
        ([one for one in windows if _short(one)], [one for one in windows if not _short(one)]),
        strict=True,
    ):
        rules = [_mean(group, kind, window) for group, kind in objectives.items() for window in chosen]
        groups.append({"name": name, "interval": interval, "rules": rules})
    alerts = [
        _alert(group, kind, severity, [rate for rate in rates if rate.severity == severity])
        for group, kind in objectives.items()
        for severity in ("critical", "warning")
    ]
    return {"groups": [*groups, {"name": "jizuo-slo", "interval": "1m", "rules": alerts}]}


def _short(window: str) -> bool:
    return _seconds(window) <= _SHORT_WINDOW


def _seconds(window: str) -> int:
    return seconds("window", window)


def _errors(group: str, window: str) -> str:
    return f"{group}:jizuo_probe_errors:ratio{window}"


def _mean(group: str, kind: Objective, window: str) -> dict[str, Any]:
    return {"record": _errors(group, window), "expr": f"1 - avg_over_time({kind.series}[{window}])"}


def _alert(group: str, kind: Objective, severity: str, rates: Sequence[BurnRate]) -> dict[str, Any]:
    too_fast = [
        f"(\n  {_errors(group, rate.long)} > {rate.factor} * {kind.budget}\n"
        f"  and {_errors(group, rate.short)} > {rate.factor} * {kind.budget}\n)"
        for rate in rates
    ]
    urgent = severity == "critical"
    labels = {"severity": severity}
    if group != "system":  # a system is no part of the topology, and stands wherever its node does
        labels |= {"signal": "degraded", "level": group}
    which = "{{ or .Labels.subject .Labels.township .Labels.county }}"
    windows = "、".join(f"{rate.long}与{rate.short}" for rate in rates)
    factors = "、".join(rate.factor for rate in rates)
    percent = f"{Decimal(kind.objective) * 100:f}".rstrip("0").rstrip(".")
    return {
        "alert": f"{group.capitalize()}BudgetBurn{'Fast' if urgent else 'Slow'}",
        "expr": "\nor\n".join(too_fast) + "\n",
        "labels": labels,
        "annotations": {
            "summary": f"{kind.name} {which} {{{{ .Labels.family }}}} 可用性预算消耗过快，"
            "失败率 {{ .Value | humanizePercentage }}",
            "description": f"目标为30天可用率{percent}%。最近{windows}内的失败率超过"
            f"预算速率的{factors}倍（长短两个时间窗同时）。",
            "action": "立即在状态页查看失败目标与原因，按失败最集中的一层（汇聚、接入、承载节点）处置。"
            if urgent
            else "在本周内查明反复失败的目标：线路误码、供电、超载；处理后观察失败率回落。",
        },
    }


def slo_file(objectives: Mapping[str, Objective]) -> str:
    """The rules as YAML, with a word on where they come from."""
    document = slo_rules(objectives, read_burn_rates())
    head = (
        "# Burn rates of error budgets, by group and address family. Written from objectives.toml and burn-rates.toml\n"
        "# by python -m exporters.alerting.burn_rate; changes made here are lost.\n"
    )
    return head + yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """YAML as people write it: expressions of several lines stay lines."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)

if __name__ == "__main__":
    sys.stdout.write(slo_file(read_objectives()))
