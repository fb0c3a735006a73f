"""Which modules does a PAM service run, and with which arguments (pam.d(5))? Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

_LINE = re.compile(r"-?(?P<kind>\w+)\s+(?P<control>\[[^]]*\]|\S+)\s+(?P<module>\S+)(?P<arguments>.*)")
#: Distributions nest their files two or three deep; a circle would nest for ever.
_DEEPEST = 8


class PamLine(NamedTuple):
    """A line of a service's file; an inclusion of another file has the control `include`."""

    kind: str
    control: str
    module: str
    arguments: tuple[str, ...]

    def options(self) -> dict[str, str]:
        """The module's arguments as key and value; a bare argument is "yes"."""
        pairs = (argument.partition("=") for argument in self.arguments)
        return {key: value if found else "yes" for key, found, value in pairs}


def read_pam(settings: Iterable[tuple[str, str]]) -> dict[str, list[PamLine]]:
    """The lines of each service, from (file, text) pairs in order."""
    services: dict[str, list[PamLine]] = {}
    for file, text in settings:
        lines = services.setdefault(file.rsplit("/", 1)[-1], [])
        text = text.partition(" #")[0]
        if text.startswith("@include"):
            lines.append(PamLine("*", "include", text.split()[1], ()))
        elif match := _LINE.match(text):
            module = match["module"].rsplit("/", 1)[-1]
            lines.append(PamLine(match["kind"], match["control"], module, tuple(match["arguments"].split())))
    return services


def stack(services: dict[str, list[PamLine]], service: str, kind: str, depth: int = 0) -> list[PamLine]:
    """All lines of one kind (auth, account, password, session) that a service runs, inclusions resolved.

    A service without a file of its own is `other`, as libpam has it.
    """
    if depth > _DEEPEST:
        return []
    lines: list[PamLine] = []
    for line in services.get(service, services.get("other", []) if depth == 0 else []):
        if line.kind not in ("*", kind):
            continue
        if line.control in ("include", "substack"):
            lines.extend(stack(services, line.module, kind, depth + 1))
        else:
            lines.append(line)
    return lines
