"""Loads firewall rulesets in a network namespace and knocks from a stranger's, with real packets.

Reads {name: ruleset} as JSON, prints {name: [the ruleset as nft lists it, who got in]}. A connection that is
refused got through the firewall as well: nothing listens. Neighbours are known, since a ruleset that drops
neighbour discovery would close IPv6 whatever else it says.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path

HOST = {"ipv4": "192.0.2.1", "ipv6": "2001:db8:1::1"}
PORTS = (22, 80, 64999)
SECONDS = 0.4

HERE = """ip link set lo up
ip link add host0 address 02:00:00:00:00:01 type veth peer name far0 address 02:00:00:00:00:02
ip link set far0 netns "$1"
ip link set host0 up
ip addr add 192.0.2.1/24 dev host0
ip addr add 2001:db8:1::1/64 dev host0 nodad
ip neighbour add 2001:db8:1::2 lladdr 02:00:00:00:00:02 dev host0 nud permanent"""
THERE = """ip link set lo up
ip link set far0 up
ip addr add 192.0.2.2/24 dev far0
ip addr add 2001:db8:1::2/64 dev far0 nodad
ip neighbour add 2001:db8:1::1 lladdr 02:00:00:00:00:01 dev far0 nud permanent"""


def run(command: list[str], text: str = "") -> str:
    done = subprocess.run(command, capture_output=True, text=True, input=text, check=False)
    if done.returncode:
        sys.exit(f"{command}: {done.stderr}\n{text}")
    return done.stdout


async def knock(address: str, port: int) -> bool:
    try:
        async with asyncio.timeout(SECONDS):
            await asyncio.open_connection(address, port)
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


async def knock_everywhere() -> list[bool]:
    return await asyncio.gather(*(knock(address, port) for address in HOST.values() for port in PORTS))


def main() -> None:
    if sys.argv[1:] == ["knock"]:
        print(json.dumps(asyncio.run(knock_everywhere())))
        return
    rulesets = json.load(sys.stdin)
    stranger = subprocess.Popen(["unshare", "--net", "sleep", "120"])
    try:
        theirs = Path(f"/proc/{stranger.pid}/ns/net")
        while theirs.readlink() == Path("/proc/self/ns/net").readlink():
            time.sleep(0.01)
        inside = ["nsenter", f"--net={theirs}", "--"]
        run(["sh", "-ec", HERE, "sh", str(stranger.pid)])
        run([*inside, "sh", "-ec", THERE])
        answers = {}
        for name, ruleset in rulesets.items():
            run(
                ["nft", "-f", "-"],
                "flush ruleset\n" + ruleset.replace("} }", "}\n}\n").replace("; }", ";\n}\n") + "\n",
            )
            listed = json.loads(run(["nft", "-j", "list", "ruleset"]))["nftables"]
            answers[name] = listed, json.loads(run([*inside, sys.executable, __file__, "knock"]))
        print(json.dumps(answers))
    finally:
        stranger.kill()


if __name__ == "__main__":
    main()
