"""The inventory as the operations node has it: the controller's files, with the management network in use."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from deploy.hoststate.files import File
from inventories.records import Management

FOLDER = "/etc/jizuo/inventory"


def inventory_files(folder: Path, management: Management) -> list[File]:
    """Every data file of an inventory folder; `city.toml` names `management`, which a lab may have changed."""
    wanted = []
    for path in sorted(folder.iterdir()):
        if path.suffix in (".csv", ".toml"):
            content = path.read_bytes()
            if path.name == "city.toml":
                content = with_management(content.decode(), management).encode()
            wanted.append(File(f"{FOLDER}/{path.name}", content))
    return wanted


def with_management(text: str, management: Management) -> str:
    """A city.toml with these management prefixes; its other lines, comments included, as they were.

    Raises:
        ValueError: the table `[management]` is written in a way that this does not find its way in.
    """
    wanted = {"ipv4": management.ipv4, "ipv6": management.ipv6}
    before = tomllib.loads(text)
    if before.get("management") == wanted:
        return text
    lines, inside = [], False
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("["):
            inside = line.strip().startswith("[management]")
        if inside and (match := re.match(r"\s*(ipv4|ipv6)\s*=", line)):
            line = f'{match[1]} = "{wanted[match[1]]}"\n'
        lines.append(line)
    changed = "".join(lines)
    if tomllib.loads(changed) != {**before, "management": wanted}:
        raise ValueError("city.toml: write [management] as a table with ipv4 and ipv6 on a line each")
    return changed
