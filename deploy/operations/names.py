"""The name service: the address plan's zones, served authoritatively by NSD in both families."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from pyinfra import host
from pyinfra.api import FactBase

from deploy.here import render
from deploy.hoststate.files import File, files
from inventories.export_zones import render_zones
from inventories.hosts import HostData
from inventories.plan import AddressPlan
from inventories.records import Family

TEMPLATES = Path(__file__).parent / "templates"
ZONES = "/etc/nsd/zones"
_SERIAL = re.compile(r"^ +([0-9]+) ; serial\n", re.MULTILINE)


class ZoneState(NamedTuple):
    """A zone file on the host: its serial, and the SHA-256 of all but the line of the serial."""

    serial: int
    rest: str


class ZoneStates(FactBase[dict[str, ZoneState]]):
    """Every zone file that NSD has, by file name."""

    default = dict

    def command(self) -> str:
        return (
            f'cd {ZONES} 2>/dev/null || exit 0; for zone in *.zone; do [ -f "$zone" ] || continue; '
            "serial=$(sed -n 's/^ *\\([0-9]*\\) ; serial$/\\1/p' \"$zone\"); "
            "rest=$(sed '/ ; serial$/d' \"$zone\" | sha256sum); "
            'printf \'%s %s %s\\n\' "$zone" "${serial:-0}" "${rest%% *}"; done'
        )

    def process(self, output: Iterable[str]) -> dict[str, ZoneState]:
        states = {}
        for line in output:
            name, serial, rest = line.split(" ")
            states[name] = ZoneState(int(serial), rest)
        return states


def name_service(data: HostData, plan: AddressPlan) -> None:
    """Operations that bring zones and server settings to the host; the packages are there."""
    zones = zone_texts(plan, host.get_fact(ZoneStates) or {})
    origins = [name.removesuffix(".zone") for name in zones]
    files(
        name="zones",
        wanted=[File(f"{ZONES}/{name}", text) for name, text in zones.items()],
        exclusive=[f"{ZONES}/*.zone"],
        validate=[f"nsd-checkzone {origin} {{{ZONES}/{origin}.zone}}" for origin in origins],
        activate=["! systemctl is-active -q nsd || nsd-control reload >/dev/null"],
    )
    addresses = [data.service[family] for family in Family]
    files(
        name="name server settings",
        wanted=[
            File(
                "/etc/nsd/nsd.conf",
                render(TEMPLATES / "nsd.conf.j2", addresses=addresses, origins=origins, zones=ZONES),
            )
        ],
        validate=["nsd-checkconf {/etc/nsd/nsd.conf}"],
        activate=["systemctl restart nsd"],
        confirm=["systemctl is-active -q nsd"],
    )


def zone_texts(plan: AddressPlan, known: Mapping[str, ZoneState]) -> dict[str, str]:
    """The zone files; a zone whose records are as on the host keeps its serial, another gets the next."""
    earlier = {}
    for name, text in render_zones(plan).items():
        if state := known.get(name):
            same = hashlib.sha256(_SERIAL.sub("", text, count=1).encode()).hexdigest() == state.rest
            line = f"    {state.serial} ; serial\n"
            earlier[name] = _SERIAL.sub(line, text, count=1) if same else line
    return render_zones(plan, earlier=earlier)
