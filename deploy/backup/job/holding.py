"""What a repository server has to know of a repository that it holds, and the repository's files as they stand."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from datetime import datetime
from typing import Any, NamedTuple

from .configuration import ConfigurationError, RepositoryPlace
from .restic import Restic, moment_of
from .retention import Held
from .snapshot import PARTIAL

#: The folders of a repository whose files are named after the SHA-256 of their content.
NAMED_BY_CONTENT = ("data", "index", "snapshots")
#: Beside the clients' folders, where no client's login leads: a login reaches the folder of its own name.
ASIDE = ".damaged"


class Holding(NamedTuple):
    """One client's repository for one policy; `window` is when old snapshots are removed, empty for any time."""

    name: str
    node: str
    client: str
    policy: str
    folder: str
    repository_file: str
    password_file: str
    keep: dict[str, int]
    window: str

    def restic(self, cache_folder: str, program: str = "restic") -> Restic:
        """restic on the repository's folder itself, beside the server."""
        place = RepositoryPlace(self.node, "", 0, self.repository_file, self.password_file)
        return Restic(place, "", cache_folder, program)


def read_holding(path: str) -> Holding:
    """Read the configuration of a repository that is held.

    Raises:
        ConfigurationError: it is missing, no JSON, or lacks a field.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content: dict[str, Any] = json.load(file)
        fields = {field: content[field] for field in Holding._fields if field != "name"}
        name = os.path.basename(path)[: -len(".json")]
        return Holding(name=name, **{**fields, "window": fields["window"] or ""})
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}; run the backup deploy") from error
    except KeyError as error:
        raise ConfigurationError(f"{path}: the field {error} is missing; run the backup deploy") from error
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{path}: {error}; run the backup deploy") from error


class Contents(NamedTuple):
    """The policy's snapshots, the marks of partial ones (a mark's id to that of its snapshot), how many others."""

    snapshots: tuple[Held, ...]
    marks: dict[str, str]
    foreign: int

    def marks_of(self, removed: list[str]) -> list[str]:
        """The marks that are of no use once these snapshots are removed."""
        left = [one for one in self.snapshots if one.id not in removed]
        return [mark for mark, target in self.marks.items() if not any(one.is_of(target) for one in left)]


def contents(holding: Holding, restic: Restic) -> Contents:
    """What the repository holds.

    Raises:
        JobError: the repository cannot be read.
    """
    found = json.loads(restic.must("snapshots", "--no-lock", "--json").output) or []
    marks = {
        one["id"]: tag[len(PARTIAL) :]
        for one in found
        for tag in one.get("tags") or ()
        if tag.startswith(PARTIAL) and len(tag) > len(PARTIAL)
    }
    ours = [
        Held(
            one["id"],
            moment_of(one["time"]),
            _arrived(holding, one["id"]),
            original=one.get("original") or "",
        )
        for one in found
        if one.get("hostname") == holding.client and holding.policy in (one.get("tags") or ())
    ]
    ours = [one._replace(whole=not any(one.is_of(target) for target in marks.values())) for one in ours]
    known = {one.id for one in ours} | set(marks)
    return Contents(tuple(ours), marks, sum(one["id"] not in known for one in found))


def _arrived(holding: Holding, snapshot: str) -> datetime:
    """When this server wrote a snapshot's file: a time that no client can choose."""
    written = os.stat(os.path.join(holding.folder, "snapshots", snapshot)).st_mtime
    return datetime.fromtimestamp(written).astimezone()


def files_of(holding: Holding, kind: str) -> Iterator[str]:
    """The paths of all files of one kind."""
    for folder, _, names in os.walk(os.path.join(holding.folder, kind)):
        for name in names:
            yield os.path.join(folder, name)


def altered_files(holding: Holding) -> list[str]:
    """The files whose content is not what their name says, or cannot be read: needs no password, reads all."""
    return [
        path for kind in NAMED_BY_CONTENT for path in sorted(files_of(holding, kind)) if not as_named(path)
    ]


def bytes_of(holding: Holding) -> int:
    """What the repository takes of the disk."""
    total = 0
    for folder, _, names in os.walk(holding.folder):
        for name in names:
            try:
                total += os.lstat(os.path.join(folder, name)).st_size
            except OSError:
                continue
    return total


def aside_of(root: str, name: str, stamp: str) -> str:
    """Where what is moved aside of a repository goes, below the folder of all repositories."""
    return os.path.join(root, ASIDE, name, stamp)


def as_named(path: str, *, unreadable: bool = False) -> bool:
    """Whether a file's content is what its name says, or it has gone; `unreadable` where it cannot be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb", buffering=0) as file:
            for chunk in iter(lambda: file.read(1024 * 1024), b""):
                digest.update(chunk)
    except FileNotFoundError:
        return True
    except OSError:
        return unreadable
    return digest.hexdigest() == os.path.basename(path)
