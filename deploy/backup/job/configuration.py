"""What a job has to know: read from `/etc/jizuo/backup/<policy>.json`, which the deploy writes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class ConfigurationError(Exception):
    """The configuration is not what a job needs; the message names the file and the field."""


class RepositoryPlace(NamedTuple):
    """Where a repository is and which files hold what opens it.

    `host` is empty for a repository that is a folder of this machine: there is nothing to connect to.
    `megabits` is what the job may take of the way there, in Mbit/s each way; 0 is no limit.
    """

    node: str
    host: str
    port: int
    repository_file: str
    password_file: str
    megabits: int = 0


class Verification(NamedTuple):
    """How old the last check and restore test may become, and within what time all data are read; seconds.

    A restore test takes at most `sample_files` files of together `sample_bytes`.
    """

    check_seconds: int
    read_all_seconds: int
    restore_seconds: int
    sample_files: int
    sample_bytes: int


class Dump(NamedTuple):
    """A database, and how its engine's own tool dumps it; `{file}` in the command is where to.

    `environment` are the tool's own variables: where it is, its libraries, its home with a login.

    `file` is the whole path of the dump; `tested` says whether the kit's tests ran this tool on the product.
    """

    engine: str
    name: str
    instance: str
    tested: bool
    file: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = MappingProxyType({})


class Configuration(NamedTuple):
    """One policy on one client; the first repository is the primary one, the others are copies.

    `window` is the part of the day in which a run of the timer may begin, `HH:MM-HH:MM` in the unit's time zone
    (the end may be on the next day); empty for any time. `may_be_empty` are folders that need not hold a file.
    """

    policy: str
    host: str
    paths: tuple[str, ...]
    exclude: tuple[str, ...]
    rpo_seconds: int
    window: str
    verify: Verification
    ca_file: str
    repositories: tuple[RepositoryPlace, ...]
    dumps: tuple[Dump, ...] = ()
    may_be_empty: tuple[str, ...] = ()

    @property
    def primary(self) -> RepositoryPlace:
        return self.repositories[0]

    def place(self, node: str) -> RepositoryPlace | None:
        """The repository on a node; None when the policy has none there."""
        return next((place for place in self.repositories if place.node == node), None)


def read_configuration(path: str) -> Configuration:
    """Read a job's configuration.

    Raises:
        ConfigurationError: it is missing, no JSON, or lacks a field.
    """
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        return _configuration(content)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}; run the backup deploy") from error
    except KeyError as error:
        raise ConfigurationError(f"{path}: the field {error} is missing; run the backup deploy") from error
    except (ValueError, TypeError) as error:
        raise ConfigurationError(f"{path}: {error}; run the backup deploy") from error


def _configuration(content: dict[str, Any]) -> Configuration:
    repositories = tuple(
        RepositoryPlace(
            node=one["node"],
            host=one["host"],
            port=int(one["port"]),
            repository_file=one["repository_file"],
            password_file=one["password_file"],
            megabits=int(one["megabits"]),
        )
        for one in content["repositories"]
    )
    if not repositories:
        raise ValueError("repositories is empty")
    return Configuration(
        policy=content["policy"],
        host=content["host"],
        paths=tuple(content["paths"]),
        exclude=tuple(content["exclude"]),
        rpo_seconds=int(content["rpo_seconds"]),
        window=content["window"] or "",
        verify=Verification(**{field: int(content["verify"][field]) for field in Verification._fields}),
        ca_file=content["ca_file"],
        repositories=repositories,
        dumps=_dumps(content),
        may_be_empty=tuple(content.get("may_be_empty", ())),
    )


def _dumps(content: dict[str, Any]) -> tuple[Dump, ...]:
    return tuple(Dump(**{**one, "command": tuple(one["command"])}) for one in content.get("dumps", ()))
