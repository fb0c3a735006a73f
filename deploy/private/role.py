"""The deploy of private networks: on every router that has a LAN of one, and on the border."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from pyinfra import host
from pyinfra.api import FactBase, StringCommand, deploy, operation

from deploy.here import here, render
from deploy.hoststate.files import File, files
from deploy.private import modes
from deploy.private.configuration import TEMPLATES, rules, settings, vrf_rules

#: What the role installs: nothing beyond the base.
PACKAGES: tuple[str, ...] = ()

SCRIPT = "/usr/local/libexec/jizuo-private-network"
UNIT = "jizuo-private-network@"
#: In place of a network's name, which has letters or digits at both ends.
MODE = "-"

#: Every network that there shall be is brought to its state, every other one ends.
ACTIVATE = f"""systemctl daemon-reload
for unit in $(systemctl list-units --all --plain --no-legend '{UNIT}*' | cut -d ' ' -f 1); do
    name=${{unit#{UNIT}}}; name=${{name%.service}}
    [ -e "/etc/jizuo/networks/$name.conf" ] || systemctl disable -q --now "$unit"
done
for conf in /etc/jizuo/networks/*.conf; do
    [ -e "$conf" ] || continue
    name=${{conf##*/}}; name=${{name%.conf}}
    systemctl enable -q "{UNIT}$name"
    systemctl reload-or-restart "{UNIT}$name"
done"""
CONFIRM = f"""for conf in /etc/jizuo/networks/*.conf; do
    [ -e "$conf" ] || continue
    name=${{conf##*/}}; said=$({SCRIPT} check "${{name%.conf}}"); [ -z "$said" ] || {{ echo "$said"; exit 1; }}
done"""


def checked(network: str) -> list[str]:
    """The commands that try a network's rules before they take effect, the VRF's only where the kernel has VRFs."""
    plain, vrf = (f"{{/etc/jizuo/networks/{network}.{end}}}" for end in ("nft", "vrf.nft"))
    return [f"nft -c -f {plain}", f"case $(sh {{{SCRIPT}}} mode) in vrf:*) nft -c -f {vrf} ;; esac"]


class NetworkFaults(FactBase[dict[str, str]]):
    """What private networks lack in the kernel, by network; empty for one that is as it shall be.

    Under :data:`MODE` stands which way this router goes, VRF or network namespace, and why.
    """

    default = dict

    def command(self, names: Sequence[str]) -> str:
        words = " ".join(map(shlex.quote, names))
        return (
            f"for name in {words}; do printf '%s %s\\n' \"$name\" "
            f"\"$({SCRIPT} check \"$name\" 2>&1 | tr '\\n' ';')\"; done; "
            f"printf '%s %s\\n' {MODE} \"$({SCRIPT} mode 2>/dev/null)\""
        )

    def process(self, output: Iterable[str]) -> dict[str, str]:
        return {name: fault for name, _, fault in (line.partition(" ") for line in output)}


@operation()
def networks_up(names: Sequence[str]) -> Iterator[StringCommand]:
    """Bring up again what the kernel lost of private networks, whoever took it down.

    + names: the networks that this router takes part in
    """
    faults = host.get_fact(NetworkFaults, names=tuple(names)) or {}
    if names and faults.get(MODE):
        modes.FOUND[host.name] = faults[MODE]
    broken = [name for name in names if faults.get(name, "unknown")]
    if not broken:
        host.noop(f"the private networks are as they shall be ({faults.get(MODE, '')})")
    for name in broken:
        yield StringCommand(f"systemctl reload-or-restart {shlex.quote(UNIT + name)}")


@deploy("private")
def private() -> None:
    """Departments' private networks: a routing table each, over VXLAN, with a firewall of its own."""
    networks = here().networks
    wanted = [
        File(SCRIPT, (Path(__file__).parent / "jizuo-private-network").read_bytes(), mode="755"),
        File(f"/etc/systemd/system/{UNIT}.service", render(TEMPLATES / f"{UNIT}.service.j2")),
    ]
    for site in networks:
        wanted += [
            File(f"/etc/jizuo/networks/{site.network}.conf", settings(site)),
            File(f"/etc/jizuo/networks/{site.network}.nft", rules(site)),
            File(f"/etc/jizuo/networks/{site.network}.vrf.nft", vrf_rules(site)),
        ]
    files(
        name="private networks",
        wanted=wanted,
        validate=[command for site in networks for command in checked(site.network)],
        activate=[ACTIVATE],
        confirm=[CONFIRM],
        exclusive=["/etc/jizuo/networks/*"],
    )
    networks_up(name="private networks in the kernel", names=[site.network for site in networks])
