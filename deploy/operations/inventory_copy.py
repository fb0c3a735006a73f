"""The inventory as the operations node has it: the controller's files, with the management network in use."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from deploy.hoststate.files import File
from inventories.records import Management

FOLDER = "/etc/jizuo/inventory"
#: Files that an inventory may lack: they must not outlive their removal.
OPTIONAL = (
    "units.csv",
    "systems.csv",
    "allocations.csv",
    "backups.toml",
    "waivers.toml",
    "security-profile.toml",
)


def inventory_files(folder: Path, management: Management) -> list[File]:
    """Every data file of an inventory folder; `city.toml` names `management`, which a lab may have changed."""
    names = {path.name for path in folder.iterdir() if path.suffix in (".csv", ".toml")}
    wanted = []
    for name in sorted(names | set(OPTIONAL)):
        content = (folder / name).read_bytes() if name in names else None
        if name == "city.toml" and content is not None:
            content = with_management(content.decode(), management).encode()
        wanted.append(File(f"{FOLDER}/{name}", content))
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
