"""Does `jizuo backup status` tell the worst first, what is proven, and fit a terminal?"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from msgspec import structs
from rich.cells import cell_len

import jizuo
from checks.backup.status import COLUMNS, as_json, lines, states_in, statuses, summary
from checks.backup_state import States, Unknown, read_state
from checks.record import Status

from .portal import CITY, NOW
from .test_judging import ago, good_state, policy

LAB = Path(__file__).parents[3] / "inventories" / "lab"


def states(**nodes: dict[str, Any]) -> States:
    """The states of nodes, each a policy's."""
    return {
        node.replace("_", "-"): {state["policy"]: read_state(json.dumps(state))}
        for node, state in nodes.items()
    }


def three() -> States:
    """A policy that is well on one node, late on another, and of a third nothing is known."""
    late = {**good_state(), "policy": "gov", "host": "cloud-2", "last_success_at": ago(hours=9)}
    return {**states(cloud_1=good_state(), cloud_2=late), "cloud-3": Unknown("timeout", "cloud-3: no answer")}


def three_nodes() -> Any:
    system = structs.replace(CITY.systems["portal"], nodes=("cloud-1", "cloud-2", "cloud-3"))
    return structs.replace(CITY, systems={"portal": system})


def test_the_worst_comes_first_and_what_is_well_last() -> None:
    found = statuses(three_nodes(), three(), NOW)
    assert [one.job for one in found] == ["gov@cloud-3", "gov@cloud-2", "gov@cloud-1"]
    assert [one.status for one in found] == [Status.ERROR, Status.FAIL, Status.PASS]
    assert found[1].findings["backup"].startswith("stale: the newest whole snapshot is of ")
    assert (
        summary(found) == "3 jobs: 1 well, 1 not, 1 unknown; oldest proven restorable state 4h; 1 not proven"
    )


def test_lag_age_and_what_is_proven_are_told_for_each_repository() -> None:
    state = good_state()
    state["repositories"]["offsite-1"] |= {
        "snapshot_at": ago(minutes=25), "restored_snapshot_at": ago(hours=30), "check_success_at": "",
    }  # fmt: skip
    (one,) = statuses(CITY, states(cloud_1=state), NOW)
    primary, copy = one.repositories
    assert (primary.age, primary.lag, primary.check_age, primary.proven_age) == (600, 0, 10800, 14400)
    assert (copy.age, copy.lag, copy.check_age, copy.proven_age) == (1500, 900, None, 108000)
    assert one.proven_age == 14400
    row = next(line for line in lines([one]) if line.startswith("gov@cloud-1"))
    assert row.split() == ["gov@cloud-1", "10m", "1h", "success", "9m", "25m", "never", "4h"]


def test_a_wide_table_tells_how_long_how_large_and_how_far_behind() -> None:
    state = {
        **good_state(),
        "last_snapshot": {"snapshot_at": ago(minutes=10), "files": 27501, "total_bytes": 2_100_000_000},
    }
    state["backup"] |= {"seconds": 75.4}
    state["repositories"]["offsite-1"] |= {"snapshot_at": ago(minutes=25)}
    (one,) = statuses(CITY, states(cloud_1=state), NOW)
    assert (one.last_run_seconds, one.bytes, one.files) == (75.4, 2_100_000_000, 27501)
    shown = list(lines([one], wide=True))
    assert shown[0].split()[-4:] == ["took", "size", "files", "lag"]
    assert shown[2].split()[-5:] == ["1m15s", "2.1", "GB", "27,501", "15m"]
    assert max(map(cell_len, shown)) <= 112
    # The figures of an older snapshot are not given out as those of the newest.
    state["last_snapshot"] |= {"snapshot_at": ago(hours=2)}
    (one,) = statuses(CITY, states(cloud_1=state), NOW)
    assert (one.bytes, one.files) == (None, None)
    assert list(lines([one], wide=True))[2].split()[-4:] == ["1m15s", "-", "-", "15m"]


def test_a_job_without_a_state_was_never_well() -> None:
    (one,) = statuses(CITY, {"cloud-1": {}}, NOW)
    assert (one.status, one.age, one.last_run, one.proven_age) == (Status.FAIL, None, "never", None)
    shown = list(lines([one]))
    assert sum("missing_state" in line for line in shown) == 1, "one cause is told once"


def test_every_line_fits_and_no_name_is_cut() -> None:
    long = "collaborative-office-of-the-whole-city"
    city = structs.replace(CITY, backups={long: policy(id=long)})
    state = {**good_state(), "policy": long}
    state["backup"] |= {"result": "failure", "reason": "os", "error": "无法读取" * 30 + "/very" * 60}
    shown = list(lines(statuses(city, states(cloud_1=state), NOW)))
    assert max(map(cell_len, shown)) <= 80
    assert f"{long}@cloud-1" in shown
    assert sum(width + 1 for _, width in COLUMNS) - 1 <= 80


def test_only_the_policies_that_are_named() -> None:
    city = structs.replace(CITY, backups={name: policy(id=name) for name in ("gov", "office")})
    assert [one.job for one in statuses(city, {}, NOW, ["office"])] == ["office@cloud-1"]


def test_json_has_seconds_and_the_table_s_order() -> None:
    said = json.loads(as_json(statuses(three_nodes(), three(), NOW), NOW))
    assert said["at"] == NOW.isoformat(timespec="milliseconds")
    assert [one["job"] for one in said["jobs"]] == ["gov@cloud-3", "gov@cloud-2", "gov@cloud-1"]
    assert said["jobs"][2]["repositories"][1]["node"] == "offsite-1"
    assert said["jobs"][2]["age"] == 600
    assert said["jobs"][2]["rpo"] == 3600


@pytest.fixture
def collected(tmp_path: Path) -> Iterator[Path]:
    """The lab's states as they are collected from its nodes, all young."""
    now = datetime.now(timezone(timedelta(hours=8)))

    def young(name: str, host: str) -> str:
        text = json.dumps({**good_state(), "policy": name, "host": host})
        for minutes in (8, 9, 10, 180, 240):
            text = text.replace(ago(minutes=minutes), (now - timedelta(minutes=minutes)).isoformat())
        return text

    for name, host in (("gov-service", "cloud-1"), ("collab-office", "xinchuang-1")):
        (tmp_path / host).mkdir(exist_ok=True)
        (tmp_path / host / f"{name}.json").write_text(young(name, host))
    yield tmp_path


def status(*arguments: str) -> Result:
    return CliRunner().invoke(jizuo.main, ["backup", "status", str(LAB), "--states", *arguments])


def test_states_are_read_from_a_folder(collected: Path) -> None:
    named = ("gov-service", "collab-office")
    done = status(str(collected), *named)
    assert done.exit_code == 0, done.output
    assert "2 jobs: 2 well, 0 not, 0 unknown" in done.output
    (collected / "cloud-1/gov-service.json").write_text("{")
    done = status(str(collected), "--json", *named)
    assert done.exit_code == 2
    first = json.loads(done.output)["jobs"][0]
    assert first["job"] == "gov-service@cloud-1"
    assert first["findings"]["backup"].startswith("unreadable_state: ")
    shutil.rmtree(collected / "cloud-1")
    done = status(str(collected), *named)
    assert done.exit_code == 2
    assert "missing_state" in done.output


def test_a_file_that_is_no_text_is_a_finding(collected: Path) -> None:
    (collected / "cloud-1/gov-service.json").write_bytes(b"\xff\xfe")
    assert type(dict(states_in(collected)["cloud-1"])["gov-service"]).__name__ == "Unreadable"  # type: ignore[arg-type]


def test_a_policy_that_is_not_there_is_named_with_those_that_are(collected: Path) -> None:
    done = status(str(collected), "nightly")
    assert done.exit_code == 1
    assert "no policy nightly in backups.toml; there are: gov-service" in done.output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["run"], "name a POLICY or POLICY@NODE, or --all"),
        (["run", "gov-service@ops-1"], "gov-service does not run on ops-1, but on cloud-1"),
        (["verify", "nightly"], "no policy nightly"),
        (["prune", "ops-1"], "ops-1 holds no such repository; these nodes do: backup-1, offsite-1"),
        (["prune", "--policy", "nightly"], "no policy nightly"),
        (["restore", "gov-service"], "either --to FOLDER, or --in-place"),
        (["restore", "gov-service", "--to", "/a", "--in-place"], "either --to FOLDER, or --in-place"),
        (["restore", "nothing", "--to", "/a"], "nothing is no system and no policy"),
        (["restore", "gov-service", "--to", "here"], "here: give a whole path"),
        (["restore", "gov-service", "--to", "/a", "--from", "ops-1"], "but on backup-1, offsite-1"),
        (["restore", "gov-service", "--to", "/a", "--node", "ops-1"], "does not run on ops-1"),
        (["restore", "gov-service", "--to", "/a", "--at", "x", "--snapshot", "y"], "give one of them"),
    ],
)
def test_a_wrong_call_touches_no_host_and_says_what_is_right(arguments: list[str], complaint: str) -> None:
    verb, *rest = arguments
    done = CliRunner().invoke(jizuo.main, ["backup", verb, str(LAB), *rest])
    assert done.exit_code == 1
    assert complaint in " ".join(done.output.split())


@pytest.mark.parametrize(
    "verb", [["run", "--all"], ["verify"], ["prune"], ["restore", "gov-service", "--to", "/a"], ["status"]]
)
def test_without_a_way_to_the_hosts_it_says_so(verb: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JIZUO_STATE", "/nonexistent")
    done = CliRunner().invoke(jizuo.main, ["backup", verb[0], str(LAB), *verb[1:]])
    assert done.exit_code == 1
    assert "/nonexistent/ssh_config is not there" in done.output
    assert len(done.output.splitlines()) == 1
