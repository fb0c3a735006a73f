"""What a deploy reads about the host it works on, typed."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any, cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pyinfra import host

from deploy.secrets import SecretStore
from inventories.hosts import HostData


def here() -> HostData:
    """The data of the host that is being deployed."""
    return cast(HostData, host.data.get("city"))


def all_hosts() -> dict[str, HostData]:
    """The data of every host of the city, by name."""
    return cast("dict[str, HostData]", host.data.get("all_hosts"))


def secret_store() -> SecretStore:
    """The controller's secrets."""
    return cast(SecretStore, host.data.get("secrets"))


def render(template: Path, **values: Any) -> str:
    """Render a template; an undefined name is an error, and no newline at the end is lost.

    Raises:
        jinja2.TemplateError: names the template and the line.
    """
    return _environment(template.parent).get_template(template.name).render(**values)


@functools.cache
def _environment(folder: Path) -> Environment:
    """One environment a folder, which keeps its templates compiled: a city has some 3,000 routers."""
    return Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - configuration files, not HTML
    )
