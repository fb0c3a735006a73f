"""Take what the collectors of a lab say, for the offline tests: run it on a lab that is up, deployed and well.

    JIZUO_STATE=/var/lib/jizuo/lab/lab python -m tests.checks.extranet.capture inventories/lab

It writes what every host said (`captures/hosts.json.gz`, a stream a node; 760 kB, were it not compressed), and the
inventory that it was asked by.
"""

from __future__ import annotations

import asyncio
import gzip
import shutil
import sys
from pathlib import Path

import msgspec
from msgspec import structs

from checks.extranet.run import expectation
from checks.security.stream import parse
from checks.ssh import management_of, shell_of, state_folder
from deploy.operations.inventory_copy import with_management
from inventories.load import load_city

CAPTURES = Path(__file__).parent / "captures"
#: Facts that another capture has, or that say nothing of the extranet.
_LEFT_OUT = frozenset({"collector"})


async def capture(inventory: Path) -> None:
    """Ask every host of the lab, and keep what it says."""
    state = state_folder()
    management = management_of(state)
    city = load_city(inventory)
    if management is not None:
        city = structs.replace(city, layout=structs.replace(city.layout, management=management))
    shutil.rmtree(CAPTURES, ignore_errors=True)
    copy = CAPTURES / "inventory"
    copy.mkdir(parents=True)
    for file in inventory.iterdir():
        if file.suffix in (".csv", ".toml"):
            shutil.copy(file, copy)
    if management is not None:
        text = (copy / "city.toml").read_text(encoding="utf-8")
        (copy / "city.toml").write_text(with_management(text, management), encoding="utf-8")
    shell = structs.replace(shell_of(state, "audit"), timeout=300)

    async def one(node: str, request: str) -> None:
        done = await shell.run(node, request=request)
        parse(done.stdout)
        said[node] = _kept(done.stdout)

    said: dict[str, str] = {}
    await asyncio.gather(*(one(*each) for each in expectation(city).requests().items()))
    in_order = {node: said[node] for node in city.nodes if node in said}
    (CAPTURES / "hosts.json.gz").write_bytes(gzip.compress(msgspec.json.encode(in_order), mtime=0))


def _kept(stream: str) -> str:
    """The stream without the sections that no test reads."""
    lines, inside = [], False
    for line in stream.splitlines():
        inside = line[1:] in _LEFT_OUT if line.startswith("@") else inside
        if not inside:
            lines.append(line)
        if line.startswith("="):
            inside = False
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    asyncio.run(capture(Path(sys.argv[1])))
