"""Two branches add things at the same time: their allocations merge, and what collides is named."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inventories import allocation_file
from inventories.load import load_city
from inventories.plan import AddressPlan, build_plan
from inventories.problems import InventoryError
from inventories.records import Level

from .editing import Editor, places

SMALL = Path(__file__).parent / "small_city"
#: The router to which a village of each township is linked.
UPLINKS = {"360902105": "cihua", "360902106": "r360902106"}
ATTRIBUTES = Path(__file__).parents[2] / ".gitattributes"


def git(folder: Path, *arguments: str) -> str:
    environment = {
        **os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull,
        "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b.example",
        "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b.example",
    }  # fmt: skip
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the small city, allocated, and this project's own attributes."""
    folder = tmp_path / "repository"
    shutil.copytree(SMALL, folder / "city")
    shutil.copy(ATTRIBUTES, folder)
    git(folder, "init", "-q", "-b", "main")
    commit(folder, lambda editor: editor.add("360902106", Level.TOWNSHIP, "360902", "yuanzhou"))
    return folder


def commit(repository: Path, edit: Callable[[Editor], None]) -> AddressPlan:
    """Edit the city, allocate and commit, as a person would."""
    editor = Editor(load_city(repository / "city"))
    edit(editor)
    plan = editor.allocate()
    editor.write(repository / "city")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "edit")
    return plan


def on_branch(repository: Path, name: str, edit: Callable[[Editor], None]) -> AddressPlan:
    git(repository, "checkout", "-q", "-b", name, "main")
    return commit(repository, edit)


def village(code: str) -> Callable[[Editor], None]:
    return lambda editor: editor.add(code, Level.VILLAGE, code[:9], UPLINKS[code[:9]])


def merge_tables(repository: Path) -> None:
    """Merge both branches; the tables' own conflicts, lines added at one place, are a person's to keep."""
    for name in ("divisions.csv", "sites.csv", "nodes.csv", "links.csv"):
        (repository / ".git" / "info").mkdir(exist_ok=True)
        with (repository / ".git" / "info" / "attributes").open("a") as file:
            file.write(f"{name} merge=union\n")
    git(repository, "checkout", "-q", "main")
    git(repository, "merge", "-q", "one", "-m", "one")
    git(repository, "merge", "-q", "other", "-m", "other")


def test_villages_of_two_branches_merge_and_keep_their_addresses(repository: Path) -> None:
    one = on_branch(repository, "one", village("360902105301"))
    other = on_branch(repository, "other", village("360902106302"))
    merge_tables(repository)
    merged = build_plan(load_city(repository / "city"))
    assert merged.new_allocations == {}
    found = places(merged)
    for plan in (one, other):
        assert places(plan).items() <= found.items()


def test_ipv4_lans_of_one_township_may_collide_and_the_way_out_is_one_line(repository: Path) -> None:
    """A township's IPv4 LANs are dense: one is free in its block, and both branches take it."""
    one = on_branch(repository, "one", village("360902105301"))
    on_branch(repository, "other", village("360902105302"))
    merge_tables(repository)
    with pytest.raises(InventoryError) as caught:
        load_city(repository / "city")
    (problem,) = caught.value.problems
    assert re.search(
        r"slot 3 of pool '360902105/lan4', given to '360902105302', is held by '360902105301' already "
        r"\(line \d+\); remove the row of the one not deployed yet; `jizuo plan \S+ --allocate`",
        str(problem),
    )
    file = repository / "city" / "allocations.csv"
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    del lines[problem.line - 1]
    file.write_text("".join(lines), encoding="utf-8")
    healed = commit(repository, lambda editor: None)
    assert list(healed.new_allocations) == ["360902105/lan4", "360902/block"]
    assert places(one).items() <= places(healed).items()
    assert healed.lan("360902105302", "ipv4") != healed.lan("360902105301", "ipv4")


def test_without_the_attribute_the_merge_would_stop(repository: Path) -> None:
    """So that the test above is known to test something."""
    (repository / ".gitattributes").write_text("")
    git(repository, "commit", "-q", "-a", "-m", "no attributes")
    on_branch(repository, "one", village("360902105301"))
    on_branch(repository, "other", village("360902105302"))
    with pytest.raises(AssertionError, match=r"CONFLICT.*allocations\.csv"):
        merge_tables(repository)


def test_the_same_village_in_two_branches_is_one_village(repository: Path) -> None:
    def both(code: str) -> Callable[[Editor], None]:
        def edit(editor: Editor) -> None:
            village("360902105301")(editor)
            village(code)(editor)

        return edit

    one = on_branch(repository, "one", both("360902105302"))
    on_branch(repository, "other", both("360902105303"))
    merge_tables(repository)
    text = (repository / "city" / "allocations.csv").read_text(encoding="utf-8")
    assert len(set(text.splitlines())) == len(text.splitlines())
    for name in ("divisions.csv", "sites.csv", "nodes.csv", "links.csv"):
        file = repository / "city" / name
        assert len(set(file.read_text().splitlines())) == len(file.read_text().splitlines())
    merged = build_plan(load_city(repository / "city"))
    assert merged.lan("360902105301", "ipv6") == one.lan("360902105301", "ipv6")


codes = st.sets(st.integers(300, 330), min_size=1, max_size=6)


@settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(one=codes, other=codes)
def test_lines_of_two_branches_are_valid_or_the_collision_is_named(
    small_city: Path, one: set[int], other: set[int]
) -> None:
    base = Editor(load_city(SMALL))
    base.allocate()
    texts, plans = [], []
    for numbers in (one, other):
        branch = Editor(base.city())
        for number in sorted(numbers):
            village(f"360902105{number}")(branch)
        plans.append(branch.allocate())
        texts.append(allocation_file.text(branch.allocations).splitlines(keepends=True))
    union = Editor(base.city())
    for number in sorted(one | other):
        village(f"360902105{number}")(union)
    union.write(small_city)
    lines = texts[0] + [line for line in texts[1] if line not in texts[0]]
    (small_city / "allocations.csv").write_text("".join(lines), encoding="utf-8")
    holders: dict[tuple[str, str], set[str]] = {}
    owners: dict[tuple[str, str], set[str]] = {}
    for line in lines[1:]:
        pool, member, slot = line.strip().split(",")
        holders.setdefault((pool, slot), set()).add(member)
        owners.setdefault((pool, member), set()).add(slot)
    collisions = [members for members in holders.values() if len(members) > 1]
    twice = [key for key, slots in owners.items() if len(slots) > 1]
    if not collisions and not twice:
        found = places(build_plan(load_city(small_city)))
        for plan in plans:
            assert places(plan).items() <= found.items()
        return
    with pytest.raises(InventoryError) as caught:
        load_city(small_city)
    told = [str(problem) for problem in caught.value.problems]
    assert all(re.match(r".*allocations\.csv:\d+:\d+: ", line) for line in told)
    if not twice:  # else the second row of a member is not looked at further
        for members in collisions:
            assert any(all(repr(member) in line for member in members) for line in told), (members, told)
    for pool, member in twice:
        assert any(pool in line and member in line for line in told), (pool, member, told)


def test_collisions_of_two_branches_are_rare(small_city: Path) -> None:
    """Two branches add one village each: chosen by hash, some 1 pair in 50 collides; lowest free would
    always.

    The pools that the villages share hold 254 management addresses, 255 village prefixes and so on.
    """
    base = Editor(load_city(small_city))
    base.allocate()
    slots: dict[str, list[tuple[str, int]]] = {}
    for number in range(300, 400):
        branch = Editor(base.city())
        village(f"360902105{number}")(branch)
        for pool, members in branch.allocate().new_allocations.items():
            slots.setdefault(pool, []).extend(members.items())
    pairs = {pool: len(chosen) * (len(chosen) - 1) // 2 for pool, chosen in slots.items()}
    shared = {
        pool: sum(a[1] == b[1] for i, a in enumerate(chosen) for b in chosen[i + 1 :] if a[0] != b[0])
        for pool, chosen in slots.items()
    }
    assert {"management", "360902105", "360902/loopback", "360902/link"} <= set(slots)
    for pool in ("management", "360902105", "360902/loopback", "360902/link"):
        assert shared[pool] / pairs[pool] < 0.02, (pool, shared[pool], pairs[pool])
