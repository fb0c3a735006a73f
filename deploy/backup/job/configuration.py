"""What a job has to know: read from `/etc/jizuo/backup/<policy>.json`, which the deploy writes."""

from __future__ import annotations

import json
from typing import Any, NamedTuple


class ConfigurationError(Exception):
    """The configuration is not what a job needs; the message names the file and the field."""


class RepositoryPlace(NamedTuple):
    """Where a repository is and which files hold what opens it.

    `host` is empty for a repository that is a folder of this machine: there is nothing to connect to.
    """

    node: str
    host: str
    port: int
    repository_file: str
    password_file: str


class Configuration(NamedTuple):
    """One policy on one client; the first repository is the primary one, the others are copies.

    `verify_every_seconds` is how old a repository check or a restore test may become before it is repeated;
    `read_data_parts` in how many checks all data of a repository is read; a restore test takes at most
    `sample_files` files of together `sample_bytes`.
    """

    policy: str
    host: str
    paths: tuple[str, ...]
    exclude: tuple[str, ...]
    rpo_seconds: int
    verify_every_seconds: int
    read_data_parts: int
    sample_files: int
    sample_bytes: int
    ca_file: str
    repositories: tuple[RepositoryPlace, ...]

    @property
    def primary(self) -> RepositoryPlace:
        return self.repositories[0]


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
        verify_every_seconds=int(content["verify_every_seconds"]),
        read_data_parts=min(256, max(1, int(content["read_data_parts"]))),
        sample_files=int(content["sample_files"]),
        sample_bytes=int(content["sample_bytes"]),
        ca_file=content["ca_file"],
        repositories=repositories,
    )
