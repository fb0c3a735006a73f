"""Which content did every file have when it was backed up? SHA-256 of each, kept in the snapshot too."""

from __future__ import annotations

import contextlib
import hashlib
import operator
import os
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

#: A file that changed this shortly before the last scan is read again: two changes can share a time stamp.
SETTLING_NS = 2_000_000_000
#: Bytes that are read at once: what stays in a processor's own cache from the reading to the hashing.
CHUNK = 256 * 1024
#: Files of so many bytes are read by so many threads.
LARGE, READERS = 1024 * 1024, 2
#: Where in a record the identity ends, and where the digest begins.
_IDENTITY, _DIGEST = slice(None, -65), slice(-64, None)
_NAME = operator.attrgetter("name")


class Entry(NamedTuple):
    """A file's content at the time of the scan."""

    digest: str
    size: int


class Index(NamedTuple):
    """What the last scan found: name to `IDENTITY DIGEST`, when it began, and the bytes of the manifest it wrote."""

    records: dict[bytes, bytes]
    scanned_ns: int = 0
    sums_bytes: int = -1

    def is_of(self, sums_path: str) -> bool:
        """Whether that manifest is the one that this scan wrote."""
        try:
            status = os.stat(sums_path)
        except OSError:
            return False
        return (status.st_mtime_ns, status.st_size) == (self.scanned_ns, self.sums_bytes)


class Comparison(NamedTuple):
    """How restored files compare with the manifest; paths are as the client has them."""

    matched: int
    total_bytes: int
    changed: tuple[bytes, ...]  # written to after the scan and before restic read them
    mismatched: tuple[bytes, ...]
    missing: tuple[bytes, ...]


def identity(status: os.stat_result) -> bytes:
    """What stays the same as long as a file's content does (as restic and git see it)."""
    return (
        f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}:{status.st_dev}".encode()
    )


def walk(path: bytes) -> Iterator[tuple[bytes, os.stat_result]]:
    """Every regular file at or below a path, in a stable order; symbolic links are not followed.

    Folders that cannot be read are passed over: restic reports them, and the run is partial. Each file's status is
    asked for once, and no folder's: of a hundred thousand files that is what a run with nothing new consists of.
    """
    try:
        status = os.lstat(path)
    except OSError:
        return
    if stat.S_ISREG(status.st_mode):
        yield path, status
    waiting = [path] if stat.S_ISDIR(status.st_mode) else []
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                found = sorted(entries, key=_NAME)
        except OSError:
            continue
        folders = []
        for entry in found:
            try:
                if entry.is_file(follow_symlinks=False):
                    yield entry.path, entry.stat(follow_symlinks=False)
                elif entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
            except OSError:
                continue
        waiting += reversed(folders)


def digest_of(path: bytes) -> tuple[str, os.stat_result]:
    """A file's SHA-256, and its status from before the reading.

    Raises:
        OSError: it cannot be read.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = os.fstat(file)
        # One byte more than it should have: what comes back shorter than asked for is its end.
        chunk = os.read(file, min(status.st_size + 1, CHUNK))
        digest = hashlib.sha256(chunk)
        if len(chunk) > status.st_size or len(chunk) == CHUNK:
            buffer = bytearray(CHUNK)
            view = memoryview(buffer)
            while True:
                count = os.readv(file, [buffer])
                if not count:
                    break
                digest.update(view[:count])
    finally:
        os.close(file)
    return digest.hexdigest(), status


def scan(paths: Iterable[str], known: Index) -> tuple[dict[bytes, bytes], bool]:
    """Records of all files below `paths`, those of `known` where a file is as they have it; whether all are.

    A file that has changed is read; of large ones two at a time, for hashing leaves the interpreter free.
    """
    found: dict[bytes, bytes] = {}
    read, before = False, known.records
    settled_before = known.scanned_ns - SETTLING_NS
    with ThreadPoolExecutor(READERS) as readers:
        for path in paths:
            for name, status in walk(os.fsencode(path)):
                record = before.get(name)
                if (
                    record is not None
                    and record[_IDENTITY] == identity(status)
                    and status.st_ctime_ns < settled_before
                ):
                    found[name] = record
                    continue
                read = True
                found[name] = b""  # its place in the order, whenever it has been read
                if status.st_size < LARGE:
                    _record(found, name)
                else:
                    readers.submit(_record, found, name)
    for name in [name for name, record in found.items() if not record]:
        del found[name]
    return found, not read and len(found) == len(before)


def _record(found: dict[bytes, bytes], name: bytes) -> None:
    """Read a file; the record of one that cannot be read stays empty."""
    with contextlib.suppress(OSError):
        digest, status = digest_of(name)
        found[name] = identity(status) + b" " + digest.encode()


def stable(index: Index) -> dict[bytes, Entry]:
    """Those files that have not changed since the scan: their snapshot must hold exactly that."""
    unchanged = {}
    for name, record in index.records.items():
        with contextlib.suppress(OSError):
            status = os.lstat(name)
            if identity(status) == record[_IDENTITY]:
                unchanged[name] = Entry(record[_DIGEST].decode(), status.st_size)
    return unchanged


def write_sums(path: str, found: dict[bytes, bytes], scanned_ns: int) -> int:
    """Write the manifest in the format of sha256sum(1); its bytes. The file's own time is when the scan began."""
    with open(path + ".new", "wb") as file:
        for name, record in found.items():
            escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
            mark = b"\\" if escaped != name else b""
            file.write(mark + record[_DIGEST] + b"  " + escaped + b"\n")
        size = file.tell()
    os.utime(path + ".new", ns=(scanned_ns, scanned_ns))
    os.replace(path + ".new", path)
    return size


def read_sums(path: bytes) -> dict[bytes, str]:
    """Read the format of sha256sum(1): path to digest.

    Raises:
        OSError: it cannot be read.
        ValueError: a line is not of that format.
    """
    sums = {}
    with open(path, "rb") as file:
        for line in file:
            line = line.rstrip(b"\n")
            escaped = line.startswith(b"\\")
            digest, two_spaces, name = line[1 if escaped else 0 :].partition(b"  ")
            if len(digest) != 64 or not two_spaces:
                raise ValueError(f"{os.fsdecode(path)}: not a line of sha256sum: {line[:80]!r}")
            if escaped:
                name = name.replace(b"\\\\", b"\0").replace(b"\\n", b"\n").replace(b"\0", b"\\")
            sums[name] = digest.decode("ascii")
    return sums


def names_in(path: str) -> list[bytes]:
    """The files that the last manifest names; none where there is none that can be read."""
    try:
        return list(read_sums(os.fsencode(path)))
    except (OSError, ValueError):
        return []


def write_index(path: str, index: Index) -> None:
    """Keep what a scan found for the next one: a cache that may be lost, NUL-separated (names hold all else)."""
    with open(path + ".new", "wb") as file:
        file.write(b"%d:%d\0" % (index.scanned_ns, index.sums_bytes))
        for name, record in index.records.items():
            file.write(name + b"\0" + record + b"\0")
    os.replace(path + ".new", path)


def read_index(path: str) -> Index:
    """What the last scan found; nothing when there is no index or it is damaged."""
    try:
        with open(path, "rb") as file:
            head, *fields = file.read().split(b"\0")
        scanned, sums_bytes = (int(number) for number in head.split(b":"))
        ends_whole = not fields.pop() and len(fields) % 2 == 0
        names = iter(fields)
        records = dict(zip(names, names)) if ends_whole else {}  # noqa: B905 (Python 3.7 knows no strict=)
    except (OSError, ValueError, IndexError):
        return Index({})
    return Index(records, scanned, sums_bytes) if records else Index({})


def sample(manifest: dict[bytes, Entry], salt: str, files: int, total_bytes: int) -> dict[bytes, Entry]:
    """Some files to prove a restore with: others for each salt (the snapshot), the same for the same one."""
    order = sorted(manifest, key=lambda name: hashlib.sha256(salt.encode() + name).digest())
    chosen: dict[bytes, Entry] = {}
    taken = 0
    for name in order:
        size = manifest[name].size
        if len(chosen) < files and (taken + size <= total_bytes or not chosen):
            chosen[name] = manifest[name]
            taken += size
    return chosen


def compare(root: bytes, sums: dict[bytes, str], scanned_ns: int) -> Comparison:
    """Compare files restored below `root` with their digests.

    A file that differs and was written to after the scan began was changed while the backup ran: what
    restic stored is newer than the manifest, which proves nothing and disproves nothing.
    """
    matched = total = 0
    changed, mismatched, missing = [], [], []
    for name, digest in sums.items():
        try:
            found, status = digest_of(root + name)
        except FileNotFoundError:
            missing.append(name)
            continue
        except OSError:
            mismatched.append(name)
            continue
        if found == digest:
            matched += 1
            total += status.st_size
        elif status.st_mtime_ns >= scanned_ns:
            changed.append(name)
        else:
            mismatched.append(name)
    return Comparison(matched, total, tuple(changed), tuple(mismatched), tuple(missing))
