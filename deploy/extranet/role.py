"""The deploy of the extranet: interfaces everywhere, FRR on routers and on servers that stand in both planes."""

from __future__ import annotations

from pyinfra.api import deploy

from deploy.extranet.configuration import DAEMONS, frr_configuration, network_files
from deploy.extranet.passwords import session_password
from deploy.here import here, secret_store
from deploy.hoststate.files import File, files
from deploy.hoststate.packages import debian_packages
from deploy.hoststate.units import units
from inventories.records import Family
from inventories.topology import RoutedNode

#: What the extranet installs; the mirror must hold these.
PACKAGES = ("frr", "frr-pythontools")

#: FRR's own test of a configuration.
VALIDATE = "vtysh -C -f {/etc/frr/frr.conf}"
#: Sessions that are up before a change, and that the new configuration still has: each must be up again afterwards.
SESSIONS = "/run/jizuo-bgp-sessions"
_ESTABLISHED = (
    "vtysh -c 'show bgp summary established json' 2>/dev/null "
    "| sed -n 's/^ *\"\\([0-9a-f]*[.:][0-9a-f.:]*\\)\":{$/\\1/p' | sort -u"
)
#: How long sessions may take to come back, in seconds: they reconnect every 2 s, and both ends may be at work.
SETTLE = 20
REMEMBER = f"{_ESTABLISHED} >{SESSIONS}"
CONFIRM = f"""systemctl is-active -q frr
for peer in $(cat {SESSIONS}); do
    grep -q "^ neighbor $peer remote-as" /etc/frr/frr.conf || continue
    left={SETTLE}
    until {_ESTABLISHED} | grep -qxF "$peer"; do
        left=$((left - 1))
        [ "$left" -gt 0 ] || {{ echo "the BGP session with $peer was up before and is gone"; exit 1; }}
        sleep 1
    done
done
rm -f {SESSIONS}"""

#: Running daemons are given the difference alone, so that no other session drops; absent ones are started.
RELOAD = (
    "if pgrep -x bgpd >/dev/null && pgrep -x bfdd >/dev/null; "
    "then /usr/lib/frr/frr-reload.py --reload --log-level warning /etc/frr/frr.conf; "
    # FRR looks at what changed filters mean for routes that it has some seconds later; asked, it does so at once, and
    # no session ends for it (RFC 2918).
    "vtysh -c 'clear bgp ipv4 unicast * soft' -c 'clear bgp ipv6 unicast * soft'; "
    "else systemctl reset-failed frr 2>/dev/null || true; systemctl enable -q frr; systemctl restart frr; fi"
)


def passwords_of(node: RoutedNode) -> dict[str, str]:
    """The passwords of a node's sessions, by link."""
    store = secret_store()
    return {neighbor.link: session_password(store, neighbor.link) for neighbor in node.neighbors}


@deploy("extranet")
def extranet() -> None:
    """Addresses on every interface, and BGP with BFD on every link."""
    data = here()
    reach = [data.management[family] for family in Family]
    files(
        name="interfaces",
        wanted=network_files(data),
        activate=["networkctl reload"],
        exclusive=["/etc/systemd/network/20-*", "/etc/systemd/network/30-*"],
        reach=reach,
    )
    if data.routing is None:
        return
    debian_packages(name="routing packages", names=PACKAGES, without_starting=True)
    files(
        name="routing configuration",
        wanted=[
            File("/etc/frr/daemons", DAEMONS, mode="640", owner="frr", group="frr"),
            File(
                "/etc/frr/frr.conf",
                frr_configuration(data.routing, passwords_of(data.routing)),
                mode="640",
                owner="frr",
                group="frr",
            ),
        ],
        validate=[VALIDATE],
        activate=[REMEMBER, RELOAD],
        confirm=[CONFIRM],
        reach=reach,
    )
    units(name="routing services", running=["frr.service", "systemd-networkd.service"])
