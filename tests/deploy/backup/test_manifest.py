"""The manifest of a backup: what is read again, what is left as it is, and work in a process of its own."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import time
from pathlib import Path

import pytest

from deploy.backup.job import manifest
from deploy.backup.job.apart import apart
from deploy.backup.job.manifest import (
    CHUNK,
    Index,
    digest_of,
    read_index,
    scan,
    walk,
    write_index,
    write_sums,
)
from deploy.backup.job.restic import JobError

LATER = 10 * 10**9  # nanoseconds: long enough for what was written before to count as settled


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_a_digest_is_of_all_bytes(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "file").write_bytes(content)
    digest, status = digest_of(os.fsencode(tmp_path / "file"))
    assert (digest, status.st_size) == (hashlib.sha256(content).hexdigest(), size)


def test_a_walk_finds_regular_files_in_a_stable_order_and_follows_no_link(tmp_path: Path) -> None:
    names = ["b/2", "b/1", "a/x/y", "c", "b/\udcff\n"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name, errors="surrogateescape")
    (tmp_path / "a/up").symlink_to("..")
    (tmp_path / "link").symlink_to("c")
    os.mkfifo(tmp_path / "pipe")
    root = os.fsencode(tmp_path)
    found = [os.path.relpath(name, root) for name, _ in walk(root)]
    assert found == [b"c", b"a/x/y", b"b/1", b"b/2", b"b/\xff\n"]
    assert [name for name, _ in walk(os.fsencode(tmp_path / "c"))] == [os.fsencode(tmp_path / "c")]
    assert list(walk(os.fsencode(tmp_path / "gone"))) == []


def test_files_are_read_in_any_order_and_told_in_that_of_their_names(tmp_path: Path) -> None:
    for number, size in enumerate((manifest.LARGE, 5, 2 * manifest.LARGE, 0, manifest.LARGE + 1)):
        (tmp_path / str(number)).write_bytes(os.urandom(size))
    found, _ = scan([str(tmp_path)], Index({}))
    files = sorted(tmp_path.iterdir())
    assert list(found) == [os.fsencode(path) for path in files]
    digests = [hashlib.sha256(path.read_bytes()).hexdigest().encode() for path in files]
    assert [record[-64:] for record in found.values()] == digests


@pytest.mark.parametrize("size", [10, manifest.LARGE])
def test_a_file_that_cannot_be_read_is_not_in_the_manifest(
    source: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    def gone(name: bytes) -> tuple[str, os.stat_result]:
        if name.endswith(b"two"):
            raise FileNotFoundError(errno.ENOENT, "went while it was scanned", name)
        return digest_of(name)

    (source / "two").write_bytes(bytes(size))
    monkeypatch.setattr(manifest, "digest_of", gone)
    found, _ = scan([str(source)], Index({}))
    assert {os.path.relpath(name, os.fsencode(source)) for name in found} == {b"one", b"three\nlines"}


def known_of(folder: Path) -> tuple[Index, str]:
    """An index and a manifest of a folder, as if its files had long been there."""
    found, _ = scan([str(folder)], Index({}))
    scanned_ns = time.time_ns() + LATER
    sums = str(folder.parent / "manifest")
    index = Index(found, scanned_ns, write_sums(sums, found, scanned_ns))
    write_index(str(folder.parent / "index"), index)
    return read_index(str(folder.parent / "index")), sums


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for name in ("one", "two", "three\nlines"):
        (folder / name).write_text(name)
    return folder


def test_what_has_not_changed_is_not_read(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known, sums = known_of(source)
    read: list[bytes] = []

    def noted(name: bytes) -> tuple[str, os.stat_result]:
        read.append(name)
        return digest_of(name)

    monkeypatch.setattr(manifest, "digest_of", noted)
    assert scan([str(source)], known) == (known.records, True)
    assert read == []
    assert known.is_of(sums)
    (source / "two").write_text("TWO")
    found, same = scan([str(source)], known)
    assert (same, read) == (False, [os.fsencode(source / "two")])
    assert found[read[0]].endswith(hashlib.sha256(b"TWO").hexdigest().encode())


@pytest.mark.parametrize("change", ["added", "removed", "renamed"])
def test_a_manifest_is_written_again_when_the_files_are_others(source: Path, change: str) -> None:
    known, _ = known_of(source)
    if change == "added":
        (source / "new").write_text("new")
    elif change == "removed":
        (source / "one").unlink()
    else:
        (source / "one").rename(source / "uno")
    found, same = scan([str(source)], known)
    assert not same
    assert found.keys() == {name for name, _ in walk(os.fsencode(source))}


def test_a_file_that_changed_shortly_before_the_scan_is_read_again(source: Path) -> None:
    known, _ = known_of(source)
    settled = known._replace(scanned_ns=(source / "one").stat().st_ctime_ns + manifest.SETTLING_NS - 1)
    assert scan([str(source)], settled) == (known.records, False)


@pytest.mark.parametrize("damage", ["gone", "shorter", "another"])
def test_a_manifest_that_another_scan_wrote_is_not_relied_on(source: Path, damage: str) -> None:
    known, sums = known_of(source)
    path = Path(sums)
    if damage == "gone":
        path.unlink()
    elif damage == "shorter":
        content = path.read_bytes()[:-1]
        path.write_bytes(content)
        os.utime(path, ns=(known.scanned_ns, known.scanned_ns))
    else:
        os.utime(path)
    assert not known.is_of(sums)


@pytest.mark.parametrize("keep", [0, 1, 20, -1, -100, -150])
def test_a_damaged_index_is_none(source: Path, keep: int) -> None:
    known_of(source)
    path = source.parent / "index"
    path.write_bytes(path.read_bytes()[:keep])
    assert read_index(str(path)) == Index({})


def test_work_apart_leaves_its_files_and_nothing_in_this_process(tmp_path: Path) -> None:
    held: list[int] = []

    def work() -> None:
        held.append(1)
        (tmp_path / "done").write_text(str(os.getpid()))

    apart(work)
    assert held == []
    assert (tmp_path / "done").read_text() != str(os.getpid())


def test_work_apart_fails_as_it_would_here(tmp_path: Path) -> None:
    def empty() -> None:
        raise JobError("empty_source", "there is no file in 目录")

    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "a\udcff"))

    def killed() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.raises(JobError, match="there is no file in 目录") as caught:
        apart(empty)
    assert caught.value.reason == "empty_source"
    with pytest.raises(OSError, match="No space left on device") as failed:
        apart(full)
    assert (failed.value.errno, failed.value.filename) == (errno.ENOSPC, str(tmp_path / "a\udcff"))
    with pytest.raises(JobError, match="killed") as caught:
        apart(killed)
    assert caught.value.reason == "os"


def test_whoever_is_told_to_stop_stops_the_work_too(tmp_path: Path) -> None:
    class Told(BaseException):
        pass

    def stop(number: int, frame: object) -> None:
        raise Told

    def work() -> None:
        (tmp_path / "began").touch()
        os.kill(os.getppid(), signal.SIGTERM)
        time.sleep(3)
        (tmp_path / "went on").touch()

    before = signal.signal(signal.SIGTERM, stop)
    try:
        with pytest.raises(Told):
            apart(work)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (tmp_path / "began").exists()
    assert not (tmp_path / "went on").exists()
