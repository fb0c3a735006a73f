"""Two controllers, one city: the second sees the first's drill on the nodes, also when the first has died.

The remote commands run in real shells, a folder for each node; only the way there is left out.
"""

from __future__ import annotations

import json
import os
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from checks.drills.definition import DrillError, read_definition
from checks.drills.held import Held, hold_against
from checks.drills.marking import REMOTE, mark, marked_nodes, marker_of, unmark
from inventories.load import load_city

LAB = Path(__file__).resolve().parents[3] / "inventories/lab"
NAME = "restore-system-offsite"
NODES = ("offsite-1", "ops-1")


@pytest.fixture
def held() -> Held:
    return hold_against(NAME, read_definition(NAME), load_city(LAB))


@pytest.fixture(autouse=True)
def nodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The nodes' file systems; one without a folder does not answer."""
    programs, root = tmp_path / "bin", tmp_path / "nodes"
    programs.mkdir()
    (programs / "ssh").write_text(
        f'#!/bin/sh\n[ -d "{root}/$3" ] || exit 255\nexec sh -c "$(printf %s "$4" | sed "s#/var/lib#{root}/$3#g")"\n'
    )
    (programs / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    for node in NODES:
        (root / node).mkdir(parents=True)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return root


def markers(nodes: Path) -> dict[str, str]:
    found = {}
    for node in NODES:
        path = nodes / node / Path(REMOTE).relative_to("/var/lib")
        if path.exists():
            found[node] = json.loads(path.read_text())["id"]
            assert [one.name for one in path.parent.iterdir()] == [path.name], "half a marker is left"
    return found


def controller(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir(exist_ok=True)
    return tmp_path / name


def begin(held: Held, state: Path, id: str, ago: int = 0) -> list[str]:
    began = (held.now() - timedelta(seconds=ago)).isoformat()
    return mark(held, state, marker_of(held, state, id, began))


def test_a_second_controller_is_refused_until_the_first_has_ended(
    held: Held, tmp_path: Path, nodes: Path
) -> None:
    one, two = controller(tmp_path, "one"), controller(tmp_path, "two")
    assert set(marked_nodes(held.city)) == set(NODES)
    assert begin(held, one, "first") == []
    assert markers(nodes) == dict.fromkeys(NODES, "first")
    with pytest.raises(DrillError, match=r"the drill first is under way, begun .*/one\), .*; wait"):
        begin(held, two, "second")
    unmark(two, NODES, "second")
    assert markers(nodes) == dict.fromkeys(NODES, "first"), "the second took the first's away"
    assert unmark(one, NODES, "first") == []
    assert markers(nodes) == {}
    assert begin(held, two, "second") == []


def test_one_that_is_refused_at_the_second_node_leaves_nothing_at_the_first(
    held: Held, tmp_path: Path, nodes: Path
) -> None:
    one, two = controller(tmp_path, "one"), controller(tmp_path, "two")
    begin(held, one, "first")
    first = marked_nodes(held.city)[0]
    unmark(one, [first], "first")
    with pytest.raises(DrillError, match="the drill first"):
        begin(held, two, "second")
    assert first not in markers(nodes)


def test_what_a_dead_controller_left_is_told_with_the_way_out(
    held: Held, tmp_path: Path, nodes: Path
) -> None:
    one, two = controller(tmp_path, "one"), controller(tmp_path, "two")
    begin(held, one, "first", ago=86400)
    with pytest.raises(DrillError, match=r"under way longer than it can take .*sudo rm /var/lib") as refused:
        begin(held, two, "second")
    for node in NODES:
        command = str(refused.value).rpartition("then: ")[2].replace("ops-1", node).replace("offsite-1", node)
        subprocess.run(
            ["sh", "-c", command.replace("sudo rm", "'sudo rm").replace("json", "json'")], check=True
        )
    assert begin(held, two, "second") == []


def test_its_own_marker_is_in_no_controller_s_way(held: Held, tmp_path: Path, nodes: Path) -> None:
    """A resumed drill's, or one whose tool died before its first stage."""
    one = controller(tmp_path, "one")
    begin(held, one, "first")
    assert begin(held, one, "first") == []
    assert begin(held, one, "later") == []
    assert markers(nodes) == dict.fromkeys(NODES, "later")


def test_a_node_that_is_lost_is_told_and_all_of_them_lost_is_no_yes(
    held: Held, tmp_path: Path, nodes: Path
) -> None:
    one = controller(tmp_path, "one")
    (nodes / "ops-1").rename(nodes / "off")
    assert begin(held, one, "first") == ["ops-1"]
    assert unmark(one, NODES, "first") == ["ops-1"]
    (nodes / "offsite-1").rename(nodes / "off too")
    with pytest.raises(DrillError, match="whether another is under way is not known"):
        begin(held, one, "second")


def test_a_marker_that_cannot_be_read_is_not_written_over(held: Held, tmp_path: Path, nodes: Path) -> None:
    path = nodes / "ops-1" / Path(REMOTE).relative_to("/var/lib")
    path.parent.mkdir()
    path.write_text("{")
    with pytest.raises(DrillError, match="cannot be read"):
        begin(held, controller(tmp_path, "one"), "first")
    assert path.read_text() == "{"
