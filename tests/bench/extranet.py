"""What does the extranet's configuration cost? All of Yichun rendered, and a real county's router reloaded.

Run by `jizuo bench extranet`. The first part needs nothing but the inventory. The second needs root and a lab that is
deployed (`sudo jizuo demo --keep`); `--lab NAME` names another than `lab`. netlab, which builds labs of FRR routers
from a topology, is the peer: it is timed in the same run where it is installed (PyPI `networklab`; NETLAB names
another), over a square grid of routers with eBGP in both families.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from deploy.base.ruleset import ruleset
from deploy.extranet.configuration import frr_configuration, network_files
from deploy.extranet.passwords import session_password
from deploy.lab.run import LabError
from deploy.private import configuration as private
from deploy.secrets import SecretStore
from inventories.hosts import HostData, host_data
from inventories.load import load_city
from inventories.plan import build_plan
from inventories.topology import build_topology
from tests.bench._county_reload import measure

YICHUN = Path(__file__).parents[2] / "inventories" / "yichun"
LIMIT = 5.0  # CPU-seconds for everything of Yichun
NETLAB_NODES = 36


def everything_of(data: HostData, password: Callable[[str], str]) -> int:
    """Render all that a host of the extranet has; returns how many characters that is."""
    size = sum(len(file.data) for file in network_files(data)) + len(ruleset(data))
    if data.routing is not None:
        passwords = {neighbor.link: password(neighbor.link) for neighbor in data.routing.neighbors}
        size += len(frr_configuration(data.routing, passwords))
    return size + sum(len(private.settings(site)) + len(private.rules(site)) for site in data.networks)


def line(what: str, seconds: float, each: float | None = None) -> None:
    """Print a cost in CPU-seconds, and in microseconds for each."""
    print(f"{what:<52} {seconds:7.2f} CPU-s" + (f" {each * 1e6:8.0f} us each" if each is not None else ""))


def rendering() -> float:
    """Time the whole of Yichun, and a quarter, a half and all of its routers; returns CPU-seconds a router."""
    city = load_city(YICHUN)
    with TemporaryDirectory() as folder:
        store = SecretStore(Path(folder))
        store.password("bgp-master")
        began, used = time.monotonic(), time.process_time()
        plan = build_plan(city)
        topology = build_topology(city, plan)
        hosts = list(host_data(city, plan, topology).values())
        derived = time.process_time() - used
        costs = []
        for part in (4, 2, 1):
            chosen = hosts[::part]
            started = time.process_time()
            size = sum(everything_of(data, lambda link: session_password(store, link)) for data in chosen)
            costs.append((len(chosen), time.process_time() - started))
        used = derived + costs[-1][1]
        seconds = time.monotonic() - began
    line(f"plan, topology and data of {len(hosts)} hosts", derived)
    for number, cost in costs:
        line(f"rendered, both families: {number} hosts", cost, cost / number)
    line(f"all of Yichun, {size / 1e6:.0f} million characters, limit {LIMIT:.0f}", used)
    print(f"{'the whole of this part, by the clock':<52} {seconds:7.2f} s")
    return used / len(hosts)


def grid(side: int) -> str:
    """A netlab topology of side * side FRR routers, each its own AS, joined to its neighbours, in both families."""
    name = lambda x, y: f"r{x}x{y}"  # noqa: E731 - used twice, here
    nodes = "\n".join(
        f"  {name(x, y)}: {{ bgp.as: {65000 + x * side + y} }}" for x in range(side) for y in range(side)
    )
    links = [f"- {name(x, y)}-{name(x + 1, y)}" for x in range(side - 1) for y in range(side)]
    links += [f"- {name(x, y)}-{name(x, y + 1)}" for x in range(side) for y in range(side - 1)]
    return (
        "provider: clab\ndefaults.device: frr\nmodule: [bgp]\n"
        "addressing: { loopback: { ipv6: 2001:db8:1::/48 }, p2p: { ipv6: 2001:db8:2::/48 } }\n"
        f"nodes:\n{nodes}\nlinks:\n" + "\n".join(links) + "\n"
    )


def peer(ours: float) -> None:
    """Time netlab's own derivation of a topology and print the ratio, a router each."""
    netlab = os.environ.get("NETLAB") or shutil.which("netlab")
    if netlab is None:
        print("netlab is not installed (PyPI networklab): no comparison")
        return
    side = int(NETLAB_NODES**0.5)
    with TemporaryDirectory() as folder:
        (Path(folder) / "topology.yml").write_text(grid(side))
        started = os.times()
        done = subprocess.run(
            [netlab, "create", "-q"], cwd=folder, capture_output=True, text=True, timeout=300, check=False
        )
        ended = os.times()
    used = ended.children_user + ended.children_system - started.children_user - started.children_system
    if done.returncode:
        print(f"netlab failed: {(done.stderr or done.stdout).strip().splitlines()[-1]}")
        return
    each = used / side**2
    line(f"netlab create, {side**2} FRR nodes (renders no FRR)", used, each)
    print(f"{'ratio netlab to jizuo, a router':<52} {each / ours:7.0f}")


def main(arguments: Sequence[str] = ()) -> int:
    """Print the costs."""
    words = list(arguments)
    name = words[words.index("--lab") + 1] if "--lab" in words else "lab"
    peer(rendering())
    try:
        measure(name)
    except LabError as error:
        print(f"no reload was measured: {error}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
