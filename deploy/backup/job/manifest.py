"""Which content did every file have when it was backed up? A digest of each, kept in the snapshot too."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from .digests import SHA256_DIGITS, XXH128_DIGITS, begun, digest_of, digits
from .listing import changed_before, entries, size_of

#: A file that changed this shortly before the last scan is read again: two changes can share a time stamp.
SETTLING_NS = 2_000_000_000
#: Files of so many bytes are read by so many threads.
LARGE, READERS = 1024 * 1024, 2
#: No index has a longer head.
_HEAD = 256


class Entry(NamedTuple):
    """A file's content at the time of the scan."""

    digest: str
    size: int


class Scan(NamedTuple):
    """When the last scan began, the bytes of the manifest it wrote, and the digest of the listing it began with.

    The listing is empty where a file of it could not be read, or had changed too shortly before: the next scan looks at
    each file. And how many files the folder holds that has most of them.
    """

    began_ns: int = 0
    sums_bytes: int = -1
    listed: bytes = b""
    fullest: int = 0

    def still_holds(self, listed: bytes, sums_path: str) -> bool:
        """Whether all files are as this scan found them, and that manifest is the one that it wrote."""
        try:
            status = os.stat(sums_path)
        except OSError:
            return False
        wrote = (status.st_mtime_ns, status.st_size) == (self.began_ns, self.sums_bytes)
        return wrote and self.listed == fingerprint(listed)


class Comparison(NamedTuple):
    """How restored files compare with the manifest; paths are as the client has them."""

    matched: int
    total_bytes: int
    changed: tuple[bytes, ...]  # written to after the scan and before restic read them
    mismatched: tuple[bytes, ...]
    missing: tuple[bytes, ...]


def fingerprint(listed: bytes) -> bytes:
    """What stands for a listing in the index."""
    digest = begun(digits())
    digest.update(listed)
    found: str = digest.hexdigest()
    return found.encode()


def scan(
    listed: bytes, records: dict[bytes, bytes], last_ns: int, began_ns: int
) -> tuple[dict[bytes, bytes], bytes]:
    """`IDENTITY DIGEST` of all files of a listing, by name; what `records` have of the scan of `last_ns` is not read.

    A file that is another by now than listed differs from its record at the next scan, which reads it again. One that
    cannot be read is not among the answers. Answers too which listing (:class:`Scan`) lets the next scan tell that
    nothing is new.
    """
    from concurrent.futures import ThreadPoolExecutor  # not in a run with nothing new, of which it is a tenth

    found: dict[bytes, bytes] = {}
    usable = {SHA256_DIGITS, digits()}
    settled_then, settled_now, all_settled = last_ns - SETTLING_NS, began_ns - SETTLING_NS, True
    with ThreadPoolExecutor(READERS) as readers:
        for name, identity in entries(listed):
            record = records.get(name)
            then, _, digest = (record or b"").rpartition(b" ")
            # A digest that cannot be compared here, since the library has gone, is as good as none.
            known = then == identity and len(digest) in usable
            all_settled = all_settled and changed_before(identity, settled_now)
            if record is not None and known and changed_before(identity, settled_then):
                found[name] = record
                continue
            found[name] = b""  # its place in the order, whenever it has been read
            if size_of(identity) < LARGE:
                _record(found, name, identity)
            else:
                # Two at a time, for reading and hashing leave the interpreter free.
                readers.submit(_record, found, name, identity)
    unread = [name for name, record in found.items() if not record]
    for name in unread:
        del found[name]
    return found, fingerprint(listed) if all_settled and not unread else b""


def fullest(found: Iterable[bytes]) -> int:
    """How many files the folder holds that has most of them."""
    return max(Counter(os.path.dirname(name) for name in found).values(), default=0)


def _record(found: dict[bytes, bytes], name: bytes, identity: bytes) -> None:
    """Read a file; the record of one that cannot be read stays empty."""
    with contextlib.suppress(OSError):
        found[name] = identity + b" " + digest_of(name, digits()).encode()


def stable(listed: bytes, records: dict[bytes, bytes]) -> dict[bytes, Entry]:
    """Those files of a listing that have not changed since the scan: their snapshot must hold exactly that."""
    unchanged = {}
    for name, identity in entries(listed):
        then, _, digest = records.get(name, b"").rpartition(b" ")
        if then == identity:
            unchanged[name] = Entry(digest.decode(), size_of(identity))
    return unchanged


def write_sums(path: str, found: dict[bytes, bytes], began_ns: int) -> int:
    """Write the manifest in the format of sha256sum(1); its bytes. The file's own time is when the scan began."""
    with open(path + ".new", "wb") as file:
        for name, record in found.items():
            escaped = name.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
            mark = b"\\" if escaped != name else b""
            file.write(mark + record.rpartition(b" ")[2] + b"  " + escaped + b"\n")
        size = file.tell()
    os.utime(path + ".new", ns=(began_ns, began_ns))
    os.replace(path + ".new", path)
    return size


def read_sums(path: bytes) -> dict[bytes, str]:
    """Read the format of sha256sum(1), with either digest: path to digest.

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
            if len(digest) not in (SHA256_DIGITS, XXH128_DIGITS) or not two_spaces:
                raise ValueError(f"{os.fsdecode(path)}: not a line of a manifest: {line[:80]!r}")
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


def write_index(path: str, scanned: Scan, records: dict[bytes, bytes]) -> None:
    """Keep what a scan found for the next one: a cache that may be lost, NUL-separated (names hold all else)."""
    size = sum(len(name) + len(record) + 2 for name, record in records.items())
    with open(path + ".new", "wb") as file:
        file.write(b"%d:%d:%s:%d:%d\0" % (*scanned, size))
        for name, record in records.items():
            file.write(name + b"\0" + record + b"\0")
    os.replace(path + ".new", path)


def last_scan(path: str) -> Scan:
    """What an index says of its scan, not of each file; nothing when there is no index or it is damaged."""
    try:
        with open(path, "rb") as file:
            return _scan_of(file.read(_HEAD).partition(b"\0")[0], os.fstat(file.fileno()).st_size)
    except (OSError, ValueError):
        return Scan()


def read_index(path: str) -> dict[bytes, bytes]:
    """What the last scan found; nothing when there is no index or it is damaged."""
    try:
        with open(path, "rb") as file:
            content = file.read()
        head, *fields = content.split(b"\0")
        _scan_of(head, len(content))
    except (OSError, ValueError):
        return {}
    return dict(zip(fields[0:-1:2], fields[1::2]))  # noqa: B905 (Python 3.7 knows no strict=)


def _scan_of(head: bytes, size: int) -> Scan:
    """The head of an index of so many bytes; ValueError where it is none, or of another one."""
    began, sums_bytes, listed, fullest, records = head.split(b":")
    if size != len(head) + 1 + int(records):
        raise ValueError("an index that was cut off")
    return Scan(int(began), int(sums_bytes), listed, int(fullest))


def sample(manifest: dict[bytes, Entry], salt: str, files: int, total_bytes: int) -> dict[bytes, Entry]:
    """Some files to prove a restore with: others for each salt (the snapshot), the same for the same one."""
    import hashlib

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
            found = digest_of(root + name, len(digest))
            status = os.stat(root + name)
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
