"""Where does the bench find a whole city that answers? A network namespace in which each address lives, or is dead."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Sequence
from ipaddress import ip_network
from itertools import islice

from checks.availability.targets import Target

#: Every address is this machine's own (AnyIP); what is dead is routed into a wire.
NETWORK = """
ip link set lo up
sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0
ip link add wire type veth peer name end
ip link set wire arp off up
ip link set end arp off up
ip addr add 203.0.113.1/24 dev wire
ip -6 addr add 2001:db8:ffff::1/64 dev wire nodad
ip route add local 198.18.0.0/15 dev lo
ip route add local 192.0.2.0/24 dev lo
ip -6 route add local 2001:db8::/32 dev lo
ip -6 route add local 3fff::/20 dev lo
"""
#: Accepts and answers on the ports of the inventory's endpoints, so that every target of the city lives.
SERVER = """
import asyncio, sys
async def answer(reader, writer):
    try:
        await reader.readuntil(b"\\r\\n\\r\\n")
        writer.write(b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nConnection: close\\r\\n\\r\\nok")
        await writer.drain()
    except Exception:
        pass
    writer.close()
async def main():
    for port in map(int, sys.argv[1:]):
        await asyncio.start_server(answer, ["0.0.0.0", "::"], port, backlog=1024)
    print("ready", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def pave() -> None:
    """Let the dead leave the table of local addresses: their own table of routes is looked up first."""
    for option in ((), ("-6",)):
        for rule in ("add pref 5 lookup 100", "add pref 10 lookup local", "del pref 0 lookup local"):
            subprocess.run(["ip", *option, "rule", *rule.split()], check=True)


def kill(targets: Sequence[Target], part: float) -> None:
    """Route this part of the addresses into the wire, and no other; each tenth's share is as large in every county.

    A table of routes costs the kernel a look-up for every packet, whoever is dead. So the living are measured on the
    same ways: for a part of 0 the table has routes to addresses that nobody asks.
    """
    seen = sorted({(t.family.value, t.address) for t in targets})
    chosen = random.Random(1).sample(seen, int(len(seen) * part))
    for family, via in (("ipv4", "203.0.113.2"), ("ipv6", "2001:db8:ffff::2")):
        ours = [address for of, address in chosen if of == family]
        if not part:
            ours = _strangers(family, {address for _, address in seen}, len(seen) * 3 // 20)
        option = ["-6"] if family == "ipv6" else []
        # The table does not exist before it has its first route.
        subprocess.run(["ip", *option, "route", "flush", "table", "100"], check=False, capture_output=True)
        lines = "".join(f"route replace {address} via {via} dev wire table 100\n" for address in ours)
        subprocess.run(["ip", *option, "-batch", "-"], input=lines, text=True, check=True)


def _strangers(family: str, known: set[str], count: int) -> list[str]:
    """Addresses of the benchmark's and documentation's ranges that are none of the city's."""
    block = ip_network("198.18.0.0/16" if family == "ipv4" else "2001:db8:fffe::/112")
    return list(islice((text for one in block.hosts() if (text := str(one)) not in known), count))
