"""What is known of one cluster on its own node? Read from `/etc/jizuo/database/STANZA.json`, the deploy's."""

from __future__ import annotations

import json
import os
from typing import Any, NamedTuple

FOLDER = "/etc/jizuo/database"


class ConfigurationError(Exception):
    """The configuration is not what the programs need; the message names the file and the field."""


class Place(NamedTuple):
    """A repository: pgBackRest's number for it, and the node that it stands on."""

    key: int
    node: str


class Configuration(NamedTuple):
    """One cluster. `settings` is pgBackRest's own configuration file on this node."""

    stanza: str
    host: str
    policy: str
    database: str
    databases: tuple[str, ...]
    rpo_seconds: int
    verify_every_seconds: int
    places: tuple[Place, ...]
    unit: str
    settings: str
    data: str
    socket: str
    port: int
    binaries: str
    state: str
    scratch: str
    pgbackrest: str

    def place(self, node: str) -> Place:
        """The repository on a node; without a name the first.

        Raises:
            ConfigurationError: no repository of this cluster stands there.
        """
        for place in self.places:
            if node in ("", place.node):
                return place
        names = ", ".join(place.node for place in self.places) or "none"
        raise ConfigurationError(f"{self.stanza} has no repository on {node}; it has {names}")


def read_configuration(stanza: str, folder: str = FOLDER) -> Configuration:
    """Read a cluster's configuration.

    Raises:
        ConfigurationError: it is missing, no JSON, or lacks a field.
    """
    path = os.path.join(folder, stanza + ".json")
    try:
        with open(path, encoding="utf-8") as file:
            content: dict[str, Any] = json.load(file)
        content["places"] = tuple(Place(int(one["key"]), one["node"]) for one in content["places"])
        content["databases"] = tuple(content["databases"])
        return Configuration(**content)
    except OSError as error:
        known = [name[:-5] for name in _names(folder) if name.endswith(".json")]
        raise ConfigurationError(
            f"{path}: {error.strerror}; the clusters here are {', '.join(known) or 'none'}"
        ) from error
    except (KeyError, ValueError, TypeError) as error:
        raise ConfigurationError(f"{path}: {error}; run the database deploy") from error


def _names(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []
