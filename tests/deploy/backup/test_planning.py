"""What a repository's server says that it would remove is what it then removes."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta
from typing import Any

from tests.deploy.backup.conftest import CLIENT, POLICY, Client, maintain, maintenance
from tests.deploy.backup.test_maintenance import add_snapshot, ids


def planned(client: Client, keep: dict[str, int]) -> dict[str, Any]:
    command = maintenance(client, 0, "plan", f"{CLIENT}-{POLICY}", keep=keep)
    done = subprocess.run(command, env=client.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    client.must_hold_no_secret(done.stdout)
    [found] = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_the_plan_removes_nothing_and_is_what_happens(client: Client) -> None:
    [first] = ids(client)
    old = add_snapshot(client, timedelta(days=3))
    keep = {"daily": 1}
    plan = planned(client, keep)
    assert [one["id"] for one in plan["removed"]] == [old[:8]]
    assert (plan["name"], plan["kept"], plan["keep"], plan["objection"]) == (
        f"{CLIENT}-{POLICY}",
        1,
        keep,
        None,
    )
    assert ids(client) == {first, old}
    assert maintain(client, keep=keep).prune is not None
    assert ids(client) == {first}
    assert planned(client, keep)["removed"] == []


def test_the_plan_says_what_speaks_against_it(client: Client) -> None:
    add_snapshot(client, timedelta(days=3))
    add_snapshot(client, timedelta(days=-1), arrived=timedelta())
    assert planned(client, {"daily": 1})["objection"]["reason"] == "future_snapshots"
