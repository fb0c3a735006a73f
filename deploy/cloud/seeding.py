"""Gives a system its first content, once: data that are there stay, and data that were lost are not made up."""

from __future__ import annotations

import base64
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pyinfra import host
from pyinfra.api import FactBase, StringCommand, operation

#: Where the systems' data are.
FOLDER = "/srv/systems"
#: Which systems have had their first content. It outlives the data: a system whose data are lost must be
#: restored, and an empty page in their place would hide that.
MARKS = "/var/lib/jizuo/seeded"
#: Who reads the data: nginx's workers, which write nothing.
GROUP = "www-data"


class UnseededSystems(FactBase[list[str]]):
    """Which of the systems have neither data nor ever had their first content."""

    default = list

    def command(self, systems: Sequence[str]) -> str:
        names = " ".join(shlex.quote(system) for system in systems)
        return (
            f"for system in {names}; do [ -e {shlex.quote(FOLDER)}/$system ] || [ -e {shlex.quote(MARKS)}/$system ] "
            "|| printf '%s\\n' \"$system\"; done"
        )

    def process(self, output: Iterable[str]) -> list[str]:
        return sorted(output)


@operation()
def seeded(contents: Mapping[str, Mapping[str, str]]) -> Iterator[StringCommand]:
    """Systems that shall have had their first content.

    + contents: each system's files by path within its folder
    """
    missing = host.get_fact(UnseededSystems, systems=tuple(contents)) or []
    if not missing:
        host.noop(f"{len(contents)} systems have had their first content")
        return
    yield StringCommand("/bin/sh -s", _stdin=seed_script({system: contents[system] for system in missing}))


def seed_script(contents: Mapping[str, Mapping[str, str]]) -> str:
    """The script that puts each system's files in place whole, and remembers that it did; pure."""
    folders = " ".join(map(shlex.quote, (MARKS.rpartition("/")[0], MARKS, FOLDER)))
    lines = ["set -eu", "umask 027", f"install -d -m 755 {folders}"]
    for system, files in contents.items():
        final, mark = shlex.quote(f"{FOLDER}/{system}"), shlex.quote(f"{MARKS}/{system}")
        stage = shlex.quote(f"{FOLDER}/.seed-{system}")
        lines.append(f"rm -rf {stage}; mkdir {stage}")
        for path, content in files.items():
            folder = path.rpartition("/")[0]
            if folder:
                lines.append(f"mkdir -p {stage}/{shlex.quote(folder)}")
            encoded = base64.encodebytes(content.encode()).decode().rstrip("\n")
            lines += [f"base64 -d >{stage}/{shlex.quote(path)} <<'END'", encoded, "END"]
        lines.append(f"chgrp -R {GROUP} {stage}; mv -T {stage} {final}; : >{mark}")
    return "\n".join(lines) + "\n"
