"""What does our backup job cost beside plain restic? A first run, a run with nothing new, verification, restore."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.bench._backup_data import many, mixed
from tests.bench._backup_place import Place
from tests.bench._backup_usage import Usage, Versus, versus
from tests.deploy.backup.conftest import POLICY


class Comparison(NamedTuple):
    """One thing that both do: over so many bytes and files."""

    name: str
    total_bytes: int
    files: int
    versus: Versus


def large(place: Place, megabytes: int, rounds: int, say: Callable[[str], None]) -> Iterator[Comparison]:
    """A first backup of mixed files, then verification of all data and a restore of all files."""
    say(f"making {megabytes} MB of mixed files")
    size = megabytes * 10**6
    files = mixed(place.data, size)

    def ours() -> Usage:
        place.begin_ours()
        say("first backup, our job")
        return place.ours("run", POLICY)

    def plain() -> Usage:
        place.begin_plain()
        say("first backup, plain restic")
        return place.plain("backup", "--", str(place.data))

    yield Comparison("first backup", size, files, versus(rounds, ours, plain))
    yield _verification(place, rounds, say)
    yield from _restore(place, size, files, rounds, say)


def _verification(place: Place, rounds: int, say: Callable[[str], None]) -> Comparison:
    """Read all data. Both take a snapshot before; the job restores a sample after, which its peer does not."""

    def ours() -> Usage:
        say("verification of all data, our job")
        return place.ours("run", "--verify", "--read-all", POLICY)

    def plain() -> Usage:
        say("verification of all data, plain restic")
        return added(place.plain("backup", "--", str(place.data)), place.plain("check", "--read-data"))

    found = versus(rounds, ours, plain)
    return Comparison("verification", place.repository_bytes(), 0, found)


def _restore(
    place: Place, size: int, files: int, rounds: int, say: Callable[[str], None]
) -> Iterator[Comparison]:
    target = place.client.root / "restored"

    def after(act: Callable[[], Usage]) -> Usage:
        used = act()
        shutil.rmtree(target)
        return used

    def ours() -> Usage:
        say("restore of all files, our job")
        arguments = (POLICY, str(place.data), "--from", place.server.node, "--to", str(target))
        return after(lambda: place.ours("restore", *arguments))

    def plain(*more: str) -> Usage:
        say(f"restore of all files, plain restic {' '.join(more)}")
        return after(lambda: place.plain("restore", *more, "--target", str(target), "latest"))

    def verified() -> Usage:
        return plain("--verify")

    yield Comparison("restore", size, files, versus(rounds, ours, plain))
    yield Comparison("restore, restic --verify", size, files, versus(1, ours, verified))


def unchanged(
    place: Place, name: str, files: int, in_a_folder: int, rounds: int, say: Callable[[str], None]
) -> Comparison:
    """A run over many files of which none has changed."""
    say(f"making {files} small files, {in_a_folder} in a folder")
    shutil.rmtree(place.data, ignore_errors=True)
    total = many(place.data, files, in_a_folder)
    say("their first backups")
    place.begin_ours()
    place.ours("run", POLICY)
    place.begin_plain()
    place.plain("backup", "--", str(place.data))

    def ours() -> Usage:
        say(f"{name}, our job")
        return place.ours("run", POLICY)

    def plain() -> Usage:
        say(f"{name}, plain restic")
        return place.plain("backup", "--", str(place.data))

    return Comparison(name, total, files, versus(rounds, ours, plain))


def added(*parts: Usage) -> Usage:
    """What commands took that ran one after another."""
    return Usage(
        sum(one.seconds for one in parts),
        sum(one.cpu_seconds for one in parts),
        max(one.peak_bytes for one in parts),
    )
