"""Which dashboards does Grafana get? Its JSON model and provisioning files, from `dashboards.toml`; pure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import yaml

from exporters.access import PLAIN, Access

DASHBOARDS_FILE = Path(__file__).parent / "dashboards.toml"
#: The version of the dashboard model that is written; newer Grafanas migrate it when they read it (Grafana 10 to 12).
SCHEMA_VERSION = 39
_COLUMNS = 24
_SOURCE = {"type": "prometheus", "uid": "jizuo-prometheus"}
#: Where Grafana's packages look for dashboards that a file provider names.
DASHBOARD_FOLDER = "/var/lib/grafana/dashboards/jizuo"


class Panel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One panel with one query."""

    title: str
    kind: Literal["stat", "timeseries", "table"]
    unit: str
    width: Annotated[int, msgspec.Meta(ge=1, le=_COLUMNS)]
    expr: str
    legend: str
    height: Annotated[int, msgspec.Meta(ge=1)] = 8


class Variable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a person chooses at the top: values of a label."""

    name: str
    query: str
    label: str


class Dashboard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A dashboard; its panels flow from left to right."""

    title: str
    panel: tuple[Panel, ...]
    variable: Variable | None = None


def read_dashboards() -> dict[str, Dashboard]:
    """The kit's dashboards by name."""
    return msgspec.toml.decode(DASHBOARDS_FILE.read_bytes(), type=dict[str, Dashboard])


def dashboard_files(prometheus_url: str, access: Access = PLAIN) -> dict[str, bytes]:
    """Every file below the folder that is written: dashboards, and how Grafana finds them and Prometheus."""
    files = {
        f"dashboards/jizuo-{name}.json": (
            json.dumps(dashboard_model(name, one), ensure_ascii=False, indent=1) + "\n"
        ).encode()
        for name, one in read_dashboards().items()
    }
    source = {"name": "jizuo", "access": "proxy", "url": prometheus_url, "isDefault": True, **_SOURCE}
    source |= _reached(access)
    provider = {
        "name": "jizuo",
        "folder": "基座",
        "type": "file",
        "allowUiUpdates": False,
        "options": {"path": DASHBOARD_FOLDER},
    }
    return files | {
        "provisioning/datasources/jizuo.yaml": _yaml({"apiVersion": 1, "datasources": [source]}),
        "provisioning/dashboards/jizuo.yaml": _yaml({"apiVersion": 1, "providers": [provider]}),
    }


def _reached(access: Access) -> dict[str, Any]:
    """How Grafana reaches Prometheus: it reads the files itself, when it starts."""
    found: dict[str, Any] = {}
    secret: dict[str, str] = {}
    if access.ca:
        found["jsonData"] = {"tlsAuthWithCACert": True}
        secret["tlsCACert"] = f"$__file{{{access.ca}}}"
    if access.user:
        found |= {"basicAuth": True, "basicAuthUser": access.user}
        secret["basicAuthPassword"] = f"$__file{{{access.password_file}}}"
    return found | ({"secureJsonData": secret} if secret else {})


def dashboard_model(name: str, dashboard: Dashboard) -> dict[str, Any]:
    """A dashboard as Grafana stores it."""
    return {
        "uid": f"jizuo-{name}",
        "title": dashboard.title,
        "tags": ["jizuo"],
        "timezone": "browser",
        "editable": False,
        "schemaVersion": SCHEMA_VERSION,
        "refresh": "30s",
        "time": {"from": "now-24h", "to": "now"},
        "templating": {"list": [_variable(dashboard.variable)] if dashboard.variable else []},
        "annotations": {"list": []},
        "panels": _panels(dashboard.panel),
    }


def _panels(panels: tuple[Panel, ...]) -> list[dict[str, Any]]:
    found, x, y, tallest = [], 0, 0, 0
    for number, panel in enumerate(panels, 1):
        if x + panel.width > _COLUMNS:
            x, y, tallest = 0, y + tallest, 0
        place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
        x, tallest = x + panel.width, max(tallest, panel.height)
        found.append(_panel(number, panel, place))
    return found


def _panel(number: int, panel: Panel, place: dict[str, int]) -> dict[str, Any]:
    now = panel.kind != "timeseries"
    target: dict[str, Any] = {
        "refId": "A",
        "expr": panel.expr,
        "datasource": _SOURCE,
        "instant": now,
        "range": not now,
    }
    if panel.legend:
        target["legendFormat"] = panel.legend
    if panel.kind == "table":
        target["format"] = "table"
    defaults: dict[str, Any] = {"unit": panel.unit}
    if panel.unit == "percentunit":
        defaults |= {"min": 0, "max": 1}
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "datasource": _SOURCE,
        "gridPos": place,
        "targets": [target],
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": _OPTIONS[panel.kind],
    }


_OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {
        "legend": {
            "displayMode": "list",
            "placement": "bottom",
            "showLegend": True,
            "calcs": ["lastNotNull"],
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "stat": {
        "reduceOptions": {"calcs": ["lastNotNull"], "values": False, "fields": ""},
        "graphMode": "none",
        "colorMode": "none",
        "textMode": "value_and_name",
        "justifyMode": "auto",
        "orientation": "auto",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
    },
    "table": {"frameIndex": 0, "showHeader": True, "showTypeIcons": False},
}


def _variable(variable: Variable) -> dict[str, Any]:
    return {
        "type": "query",
        "name": variable.name,
        "label": variable.label,
        "datasource": _SOURCE,
        "query": variable.query,
        "refresh": 2,  # when the time range changes
        "sort": 1,
        "multi": False,
        "includeAll": False,
    }


def _yaml(document: dict[str, Any]) -> bytes:
    return yaml.safe_dump(document, allow_unicode=True, sort_keys=False).encode()
