"""Which content did every file have when it was backed up? SHA-256 of each, kept in the snapshot too."""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from typing import NamedTuple

#: A file that changed this shortly before the last scan is read again: two changes can share a time stamp.
SETTLING_NS = 2_000_000_000
CHUNK = 1024 * 1024


class Entry(NamedTuple):
    """A file's identity at the time of the scan, and its content's digest."""

    key: str
    digest: str
    size: int


class Comparison(NamedTuple):
    """How restored files compare with the manifest; paths are as the client has them."""

    matched: int
    total_bytes: int
    changed: tuple[bytes, ...]  # written to after the scan and before restic read them
    mismatched: tuple[bytes, ...]
    missing: tuple[bytes, ...]


def identity(status: os.stat_result) -> str:
    """What stays the same as long as a file's content does (as restic and git see it)."""
    return f"{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino}:{status.st_dev}"


def walk(path: bytes) -> Iterator[bytes]:
    """Every regular file at or below a path, in a stable order; symbolic links are not followed.

    Folders that cannot be read are passed over: restic reports them, and the run is partial.
    """
    waiting = [path]
    while waiting:
        name = waiting.pop()
        try:
            mode = os.lstat(name).st_mode
            if stat.S_ISREG(mode):
                yield name
            elif stat.S_ISDIR(mode):
                waiting += sorted((os.path.join(name, child) for child in os.listdir(name)), reverse=True)
        except OSError:
            continue


def digest_of(path: bytes) -> tuple[str, os.stat_result]:
    """A file's SHA-256, and its status from before the reading.

    Raises:
        OSError: it cannot be read.
    """
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:
        status = os.fstat(file.fileno())
        while True:
            chunk = file.read(CHUNK)
            if not chunk:
                break
            digest.update(chunk)
    return digest.hexdigest(), status


def scan(paths: Iterable[str], known: dict[bytes, Entry]) -> dict[bytes, Entry]:
    """The manifest of all files below `paths`; files that are as `known` has them are not read again."""
    manifest = {}
    for path in paths:
        for name in walk(os.fsencode(path)):
            with contextlib.suppress(OSError):
                before = known.get(name)
                status = os.lstat(name)
                if before is not None and before.key == identity(status):
                    manifest[name] = before
                    continue
                digest, status = digest_of(name)
                manifest[name] = Entry(identity(status), digest, status.st_size)
    return manifest


def stable(manifest: dict[bytes, Entry]) -> dict[bytes, Entry]:
    """Those entries whose files have not changed since the scan: their snapshot must hold exactly that."""
    unchanged = {}
    for name, entry in manifest.items():
        with contextlib.suppress(OSError):
            if identity(os.lstat(name)) == entry.key:
                unchanged[name] = entry
    return unchanged


def write_sums(path: str, manifest: dict[bytes, Entry], scanned_ns: int) -> None:
    """Write the manifest in the format of sha256sum(1); the file's own time is when the scan began."""
    with open(path + ".new", "wb") as file:
        for name, entry in manifest.items():
            escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
            mark = b"\\" if escaped != name else b""
            file.write(mark + entry.digest.encode() + b"  " + escaped + b"\n")
    os.utime(path + ".new", ns=(scanned_ns, scanned_ns))
    os.replace(path + ".new", path)


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


def write_index(path: str, manifest: dict[bytes, Entry], scanned_ns: int) -> None:
    """Keep the manifest for the next scan: a cache that may be lost, NUL-separated (names hold all else)."""
    with open(path + ".new", "wb") as file:
        file.write(b"%d\0" % scanned_ns)
        for name, entry in manifest.items():
            file.write(entry.key.encode() + b" " + entry.digest.encode() + b" " + name + b"\0")
    os.replace(path + ".new", path)


def read_index(path: str) -> dict[bytes, Entry]:
    """What the last scan found and can be relied on; nothing when there is no index or it is damaged."""
    try:
        with open(path, "rb") as file:
            scanned, *records = file.read().split(b"\0")
        settled_before = int(scanned) - SETTLING_NS
        known = {}
        for record in records[:-1]:
            key, digest, name = record.split(b" ", 2)
            size, _, changed_ns, _, _ = key.split(b":")
            if int(changed_ns) < settled_before:
                known[name] = Entry(key.decode("ascii"), digest.decode("ascii"), int(size))
        return known
    except (OSError, ValueError):
        return {}


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
