"""Are the records as they were written? Each names the SHA-256 of the one before it.

A record's digest is that of its canonical JSON (RFC 8785), so that spaces and the order of keys count for nothing and
every value counts. A record that is changed, removed or put in shows at its successor; of the newest one, the file
`.chain-head` beside the records knows number and digest. Whoever can write the folder can write all of it anew: the
digest is on the record's printed and signed page, and `drill verify-records --head` holds the chain against it.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import rfc8785

from checks.drills.record import (
    SIGNED,
    DrillRecord,
    Signature,
    record_paths,
    signature_paths,
)
from checks.record import write_whole

#: What the first record of a chain names.
NOTHING_BEFORE = "0" * 64
HEAD = ".chain-head"


class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The newest record of a folder."""

    sequence: int
    id: str
    sha256: str


class Verified(NamedTuple):
    """What a folder's chain is like; `misfit` names the first record that does not fit, and how (empty: all fit)."""

    chained: int
    unchained: int
    misfit: str
    head: Head | None


def digest(content: bytes) -> str:
    """The SHA-256 of the canonical JSON (RFC 8785) of a record's file.

    Raises:
        ValueError: it is no JSON.
    """
    return hashlib.sha256(rfc8785.dumps(json.loads(content))).hexdigest()


def write_record(folder: Path, record: DrillRecord) -> Path:
    """Append a record to the chain of the folder, whole or not at all, and return its path.

    Raises:
        FileExistsError: there is a record of that id; no record is written over.
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        return _append(folder, record)


def sign(folder: Path, id: str, name: str, role: str, signed_at: str) -> Path:
    """Append a signature of the record of that id to the chain of the folder, and return its path.

    Raises:
        ValueError: what is there does not fit the chain, the record has no such role, or that role has signed.
        OSError: there is no such record, or the folder cannot be written.
    """
    path = folder / f"{id}.json"
    content = path.read_bytes()
    if misfit := verify(folder).misfit:
        raise ValueError(f"nothing is signed while the records do not fit: {misfit}")
    record = msgspec.json.decode(content, type=DrillRecord)
    if not record.sequence:
        raise ValueError(f"{id} is older than the chain: its page is signed on paper")
    roles = [one.role for one in record.participants]
    if role not in roles:
        raise ValueError(f"{id} has no role {role}; its roles are: {', '.join(roles)}")
    with _locked(folder):
        signed = signatures_of(folder, id)
        if by := next((one.name for one in signed if one.role == role), ""):
            raise ValueError(f"{by} has signed as {role}; what is signed is not changed")
        return _append(
            folder,
            Signature(
                version=record.version,
                id=f"{id}{SIGNED}{len(signed) + 1}",
                record=id,
                record_sha256=digest(content),
                name=name,
                role=role,
                signed_at=signed_at,
            ),
        )


def signatures_of(folder: Path, id: str) -> tuple[Signature, ...]:
    """The signatures of a record, in their order.

    Raises:
        msgspec.DecodeError: one is none.
    """
    found = [
        msgspec.json.decode(path.read_bytes(), type=Signature)
        for path in signature_paths(folder)
        if path.name.startswith(id + SIGNED)
    ]
    return tuple(sorted(found, key=lambda one: one.sequence))


def _append(folder: Path, link: DrillRecord | Signature) -> Path:
    """Write what follows the newest link of the chain; the folder is locked."""
    path = folder / f"{link.id}.json"
    if path.exists():
        raise FileExistsError(f"{path} is there already; a record is never written over")
    head = _head(folder)
    following = msgspec.structs.replace(
        link,
        sequence=head.sequence + 1 if head else 1,
        previous=head.sha256 if head else NOTHING_BEFORE,
    )
    content = msgspec.json.format(msgspec.json.encode(following)) + b"\n"
    write_whole(path, content)
    newest = Head(sequence=following.sequence, id=following.id, sha256=digest(content))
    write_whole(folder / HEAD, msgspec.json.encode(newest) + b"\n")
    return path


def verify(folder: Path, expected_head: str = "") -> Verified:
    """Hold the records of a folder against their chain, and the chain against a head that is known from elsewhere.

    Raises:
        OSError: the folder cannot be read.
    """
    found: list[_One] = []
    old: list[_One] = []
    broken = ""
    for path in (*record_paths(folder), *signature_paths(folder)):
        try:
            content = path.read_bytes()
            document = json.loads(content)
            one = _One(path.stem, int(document.get("sequence", 0)), document, digest(content))
        except (ValueError, AttributeError, TypeError) as error:
            broken = broken or f"{path.name} is no record: {error}"
            continue
        (found if one.sequence else old).append(one)
    found.sort(key=lambda one: one.sequence)
    head = _read_head(folder)
    misfit = broken or _first_misfit(found) or _put_in(old, found) or _wrong_head(found, head, expected_head)
    misfit = misfit or _signed_otherwise(found)
    return Verified(len(found), len(old), misfit, head)


class _One(NamedTuple):
    id: str
    sequence: int
    document: dict[str, Any]
    sha256: str


def _first_misfit(found: list[_One]) -> str:
    """The first record that does not fit to the one before it."""
    before: _One | None = None
    for one in found:
        due = before.sequence + 1 if before else 1
        if one.document.get("id") != one.id:
            return f"{one.id} says that it is {one.document.get('id')}: it was renamed, or put in"
        if one.sequence < due:
            return f"{one.id} has number {one.sequence}, as {before.id if before else ''} has: one was put in"
        if one.sequence > due:
            return f"number {due} is missing before {one.id}: a record was removed"
        if one.document.get("previous") != (before.sha256 if before else NOTHING_BEFORE):
            if before is None:
                return (
                    f"{one.id} is the first and names one before it: it was changed, or records were removed"
                )
            return f"{before.id} is not what {one.id}, written after it, says: one of them was changed"
        before = one
    return ""


def _put_in(old: list[_One], found: list[_One]) -> str:
    """A record of before the chain that says to be later than the chain's first."""
    if not found:
        return ""
    begun = str(found[0].document.get("started_at"))
    late = [one.id for one in old if str(one.document.get("started_at")) >= begun]
    return f"{late[0]} names no record before it, though the chain had begun: it was put in" if late else ""


def _signed_otherwise(found: list[_One]) -> str:
    """A signature of something else than the record that it names."""
    digests = {one.id: one.sha256 for one in found}
    for one in found:
        if SIGNED in one.id and digests.get(str(one.document.get("record"))) != one.document.get(
            "record_sha256"
        ):
            return f"{one.id} signs another content than {one.document.get('record')} has"
    return ""


def _wrong_head(found: list[_One], head: Head | None, expected: str) -> str:
    """What the newest record has against what is known of it."""
    if expected and expected not in [one.sha256 for one in found]:
        return f"no record has the digest {expected}: the one that had it was changed or removed"
    if not found and head is None:
        return ""
    if head is None:
        return f"{HEAD} is missing: whether records after {found[-1].id} were removed is not known"
    newest = found[-1] if found else None
    if newest is None or newest.sequence < head.sequence:
        return f"{head.id}, number {head.sequence}, is missing: it was removed"
    if newest.sequence > head.sequence:
        return f"{newest.id} is not the newest that was written, {head.id}: it was put in, or its writing cut off"
    return "" if newest.sha256 == head.sha256 else f"{newest.id} is not as it was written: it was changed"


def _head(folder: Path) -> Head | None:
    """The newest record: as the head has it, or one that the head was not yet written for, or was lost for."""
    newest = _read_head(folder)
    for path in (*record_paths(folder), *signature_paths(folder)):
        try:
            content = path.read_bytes()
            document = json.loads(content)
            sequence, previous = int(document.get("sequence", 0)), document.get("previous")
        except (OSError, ValueError, AttributeError, TypeError):
            continue
        if sequence > (newest.sequence if newest else 0) and (newest is None or previous == newest.sha256):
            newest = Head(sequence=sequence, id=path.stem, sha256=digest(content))
    return newest


def _read_head(folder: Path) -> Head | None:
    try:
        return msgspec.json.decode((folder / HEAD).read_bytes(), type=Head)
    except (OSError, msgspec.DecodeError):
        return None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One writer at a time: two would name the same record before them."""
    handle = os.open(folder / ".chain-lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
