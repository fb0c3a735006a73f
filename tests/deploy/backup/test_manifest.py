"""The manifest of a backup: what is read again, what is left as it is, and work in a process of its own."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from deploy.backup.job import digests, manifest
from deploy.backup.job.apart import apart
from deploy.backup.job.digests import CHUNK, SHA256_DIGITS, XXH128_DIGITS, digest_of
from deploy.backup.job.listing import changed_before, entries, listing, size_of
from deploy.backup.job.manifest import Scan, last_scan, read_index, scan, write_index, write_sums
from deploy.backup.job.restic import JobError

LATER = 10 * 10**9  # nanoseconds: long enough for what was written before to count as settled
NAMES = ["b/2", "b/1", "a/x/y", "c", "b/\udcff\n", "back\\slash", "\u76ee\u5f55", "-not"]


def fill(folder: Path) -> None:
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name, errors="surrogateescape")


@pytest.mark.parametrize("size", [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_a_digest_is_of_all_bytes(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    path = tmp_path / "file"
    path.write_bytes(content)
    assert digest_of(os.fsencode(path), SHA256_DIGITS) == hashlib.sha256(content).hexdigest()
    printed = subprocess.run(["xxh128sum", str(path)], capture_output=True, text=True, check=True).stdout
    assert digest_of(os.fsencode(path), XXH128_DIGITS) == printed.split()[0]


def test_where_xxhash_is_missing_sha256_is_taken_and_its_digests_cannot_be_compared(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, _ = scan(listing([str(source)]), {}, 0, 0)
    assert {len(record.rpartition(b" ")[2]) for record in found.values()} == {XXH128_DIGITS}
    write_sums(str(source.parent / "manifest"), found, 0)
    monkeypatch.setattr(digests, "xxh3_128", None)
    again, _ = scan(listing([str(source)]), {}, 0, 0)
    assert {len(record.rpartition(b" ")[2]) for record in again.values()} == {SHA256_DIGITS}
    kept, _ = scan(listing([str(source)]), found, time.time_ns() + LATER, 0)
    assert {len(record.rpartition(b" ")[2]) for record in kept.values()} == {SHA256_DIGITS}
    sums = manifest.read_sums(os.fsencode(source.parent / "manifest"))
    with pytest.raises(JobError, match="install python3-xxhash") as caught:
        manifest.compare(b"", sums, 0)
    assert caught.value.reason == "no_program"


def test_a_manifest_may_hold_both_digests(source: Path) -> None:
    sums = str(source.parent / "manifest")
    found, _ = scan(listing([str(source)]), {}, 0, 0)
    name = os.fsencode(source / "two")
    found[name] = b"of before " + hashlib.sha256(b"two").hexdigest().encode()
    write_sums(sums, found, 0)
    read = manifest.read_sums(os.fsencode(sums))
    assert {name: len(digest) for name, digest in read.items()} == {
        one: SHA256_DIGITS if one == name else XXH128_DIGITS for one in found
    }
    assert manifest.compare(b"", read, 0).matched == 3
    (source / "two").write_text("TWO")
    assert manifest.compare(b"", read, 2**63).mismatched == (name,)


def test_a_listing_has_regular_files_whatever_their_names_and_follows_no_link(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "a/up").symlink_to("..")
    (tmp_path / "link").symlink_to("c")
    os.mkfifo(tmp_path / "pipe")
    root = os.fsencode(tmp_path)
    found = entries(listing([str(tmp_path), str(tmp_path / "gone")]))
    assert [os.path.relpath(name, root) for name, _ in found] == sorted(os.fsencode(name) for name in NAMES)
    assert [name for name, _ in entries(listing([str(tmp_path / "c")]))] == [os.fsencode(tmp_path / "c")]
    assert listing([str(tmp_path / "gone")]) == b""


def test_what_is_excluded_as_a_whole_path_is_not_looked_at(tmp_path: Path) -> None:
    fill(tmp_path)
    (tmp_path / "[a]").mkdir()
    for name in ("[a]/1", "a/[x]", "a/x/z"):
        (tmp_path / name).write_text(name)
    root = os.fsencode(tmp_path)

    def left(*exclude: str) -> set[bytes]:
        listed = listing([str(tmp_path)], [f"{tmp_path}/{one}" if one[0] != "*" else one for one in exclude])
        return {os.path.relpath(name, root) for name, _ in entries(listed)}

    everything = left()
    assert everything - left("b", "a/x/") == {b"b/1", b"b/2", b"b/\xff\n", b"a/x/y", b"a/x/z"}
    assert everything - left("c") == {b"c"}
    for pattern in ("*.tmp", "a/*", "[a]", "back\\slash", "not there"):
        assert left(pattern) == everything, pattern


def test_an_identity_is_that_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("content")
    ((_, identity),) = entries(listing([str(path)]))
    status = path.stat()
    changed, written, size, inode = identity.split(b":")
    assert written == b"%d.%09d0" % divmod(status.st_mtime_ns, 10**9)
    assert changed == b"%d.%09d0" % divmod(status.st_ctime_ns, 10**9)
    assert (int(size), int(inode)) == (status.st_size, status.st_ino)
    assert size_of(identity) == len("content")
    assert changed_before(identity, status.st_ctime_ns + 10)
    assert not changed_before(identity, status.st_ctime_ns)
    for early, late in ((b"98.5", 1_700_000_000), (b"1700000000.5", 10**10), (b"1700000000.5", 98)):
        assert not changed_before(early + b"0:", late * 10**9), "not as many digits: read again"


@pytest.mark.parametrize("how", ["content", "times set back", "another of the same content", "mode"])
def test_whatever_may_be_new_changes_the_listing(tmp_path: Path, how: str) -> None:
    path = tmp_path / "file"
    path.write_text("content")
    status, before = path.stat(), listing([str(path)])
    time.sleep(0.02)  # a file system's clock ticks every few milliseconds
    if how == "another of the same content":
        (tmp_path / "other").write_text("content")
        (tmp_path / "other").rename(path)
    elif how == "mode":
        path.chmod(0o600)
    else:
        path.write_text("CONTENT")
    if how == "times set back":
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert listing([str(path)]) != before


def test_a_listing_that_was_cut_off_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "find").write_text("#!/bin/sh\nprintf '1.0:1.0:1:1\\0/a\\0'\nkill -9 $$\n")
    (tmp_path / "find").chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(JobError, match="half a list of files is none"):
        listing(["/"])
    for script in ("echo 'find: write error: No space left on device' >&2", "printf '1.0:1.0:1:1\\0'"):
        (tmp_path / "find").write_text(f"#!/bin/sh\nprintf '1.0:1.0:1:1\\0/a\\0'\n{script}\nexit 1\n")
        with pytest.raises(JobError, match="half a list of files is none"):
            listing(["/"])
    (tmp_path / "find").unlink()
    with pytest.raises(JobError, match="apt-get install findutils") as caught:
        listing(["/"])
    assert caught.value.reason == "no_program"


def test_files_are_read_in_any_order_and_told_in_that_of_their_names(tmp_path: Path) -> None:
    for number, size in enumerate((manifest.LARGE, 5, 2 * manifest.LARGE, 0, manifest.LARGE + 1)):
        (tmp_path / str(number)).write_bytes(os.urandom(size))
    found, _ = scan(listing([str(tmp_path)]), {}, 0, 0)
    files = sorted(tmp_path.iterdir())
    assert list(found) == [os.fsencode(path) for path in files]
    taken = [digest_of(os.fsencode(path), XXH128_DIGITS).encode() for path in files]
    assert [record.rpartition(b" ")[2] for record in found.values()] == taken


@pytest.mark.parametrize("size", [10, manifest.LARGE])
def test_a_file_that_cannot_be_read_is_not_in_the_manifest_and_is_tried_again(
    source: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    def gone(name: bytes, wanted: int) -> str:
        if name.endswith(b"two"):
            raise FileNotFoundError(errno.ENOENT, "went while it was scanned", name)
        return digest_of(name, wanted)

    (source / "two").write_bytes(bytes(size))
    monkeypatch.setattr(manifest, "digest_of", gone)
    found, relied_on = scan(listing([str(source)]), {}, 0, time.time_ns() + LATER)
    assert {os.path.relpath(name, os.fsencode(source)) for name in found} == {b"one", b"three\nlines"}
    assert relied_on == b""


def known_of(folder: Path) -> tuple[str, str]:
    """An index and a manifest of a folder, as if its files had long been there."""
    began_ns = time.time_ns() + LATER
    found, relied_on = scan(listing([str(folder)]), {}, 0, began_ns)
    sums, index = str(folder.parent / "manifest"), str(folder.parent / "index")
    write_index(index, Scan(began_ns, write_sums(sums, found, began_ns), relied_on), found)
    assert read_index(index) == found
    return index, sums


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    folder.mkdir()
    for name in ("one", "two", "three\nlines"):
        (folder / name).write_text(name)
    return folder


def test_what_has_not_changed_is_not_read(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index, sums = known_of(source)
    last = last_scan(index)
    assert last.still_holds(listing([str(source)]), sums)
    read: list[bytes] = []

    def noted(name: bytes, wanted: int) -> str:
        read.append(name)
        return digest_of(name, wanted)

    monkeypatch.setattr(manifest, "digest_of", noted)
    (source / "two").write_text("TWO")
    listed = listing([str(source)])
    assert not last.still_holds(listed, sums)
    found, _ = scan(listed, read_index(index), last.began_ns, time.time_ns())
    name = os.fsencode(source / "two")
    assert read == [name]
    assert found[name].endswith(digest_of(name, XXH128_DIGITS).encode())


@pytest.mark.parametrize("change", ["added", "removed", "renamed"])
def test_a_manifest_is_written_again_when_the_files_are_others(source: Path, change: str) -> None:
    index, sums = known_of(source)
    if change == "added":
        (source / "new").write_text("new")
    elif change == "removed":
        (source / "one").unlink()
    else:
        (source / "one").rename(source / "uno")
    last, listed = last_scan(index), listing([str(source)])
    assert not last.still_holds(listed, sums)
    found, _ = scan(listed, read_index(index), last.began_ns, time.time_ns())
    assert list(found) == sorted(os.fsencode(path) for path in source.iterdir())


def test_a_file_that_changed_shortly_before_the_scan_is_read_again(
    source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = listing([str(source)])
    newest = max(path.stat().st_ctime_ns for path in source.iterdir())
    found, relied_on = scan(listed, {}, 0, newest + manifest.SETTLING_NS)
    assert relied_on == b"", "the next scan would not look at that file again"
    monkeypatch.setattr(manifest, "digest_of", lambda name, wanted: "read again")
    again, _ = scan(listed, found, newest + manifest.SETTLING_NS, newest + LATER)
    assert any(record.endswith(b"read again") for record in again.values())
    settled = scan(listed, found, newest + manifest.SETTLING_NS + 10, newest + LATER)
    assert settled == (found, manifest.fingerprint(listed))


def test_only_what_is_as_it_was_scanned_is_stable(source: Path) -> None:
    index, _ = known_of(source)
    time.sleep(0.02)
    (source / "two").write_text("TWO")
    (source / "new").write_text("new")
    (source / "one").unlink()
    held = manifest.stable(listing([str(source)]), read_index(index))
    name = os.fsencode(source / "three\nlines")
    assert held == {name: manifest.Entry(digest_of(name, XXH128_DIGITS), len("three\nlines"))}


@pytest.mark.parametrize("damage", ["gone", "shorter", "another"])
def test_a_manifest_that_another_scan_wrote_is_not_relied_on(source: Path, damage: str) -> None:
    index, sums = known_of(source)
    last, path = last_scan(index), Path(sums)
    if damage == "gone":
        path.unlink()
    elif damage == "shorter":
        content = path.read_bytes()[:-1]
        path.write_bytes(content)
        os.utime(path, ns=(last.began_ns, last.began_ns))
    else:
        os.utime(path)
    assert not last.still_holds(listing([str(source)]), sums)


@pytest.mark.parametrize("keep", [0, 1, 20, -1, -100, -150])
def test_a_damaged_index_is_none(source: Path, keep: int) -> None:
    index, sums = known_of(source)
    path = Path(index)
    path.write_bytes(path.read_bytes()[:keep])
    assert (last_scan(index), read_index(index)) == (Scan(), {})
    assert not last_scan(index).still_holds(listing([str(source)]), sums)


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
