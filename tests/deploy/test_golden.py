"""The configuration of every host of the lab, whole, beside the one that was read and found good.

To accept a change: `JIZUO_GOLDEN=write pytest tests/deploy/test_golden.py`, and read the difference in git.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from netaddr import IPNetwork

from deploy.base.role import rules
from deploy.extranet.configuration import frr_configuration, network_files
from deploy.private import configuration as private
from inventories.hosts import HostData, host_data
from inventories.load import load_city
from inventories.plan import build_plan
from inventories.records import Family, Level
from inventories.topology import Relation, RoutedNode, build_topology
from tests.deploy.fake_hosts import LAB

GOLDEN = Path(__file__).parent / "golden"
YICHUN = LAB.parent / "yichun"
CITY = load_city(LAB)
HOSTS = host_data(CITY, build_plan(CITY))


def passwords(node: RoutedNode) -> dict[str, str]:
    return {neighbor.link: f"password-of-{neighbor.link}" for neighbor in node.neighbors}


def files_of(data: HostData) -> dict[str, str]:
    """Every file that the extranet, its firewall and its private networks have on a host."""
    found = {file.path: file.data.decode() for file in network_files(data)}
    found["/etc/nftables.conf"] = rules(data)
    if data.routing is not None:
        found["/etc/frr/frr.conf"] = frr_configuration(data.routing, passwords(data.routing))
    for site in data.networks:
        found[f"/etc/jizuo/networks/{site.network}.conf"] = private.settings(site)
        found[f"/etc/jizuo/networks/{site.network}.nft"] = private.rules(site)
        found[f"/etc/jizuo/networks/{site.network}.vrf.nft"] = private.vrf_rules(site)
    return found


@pytest.mark.parametrize("data", HOSTS.values(), ids=lambda data: data.name)
def test_every_file_of_the_lab(data: HostData) -> None:
    text = "".join(f"==== {path}\n{content}" for path, content in sorted(files_of(data).items()))
    golden = GOLDEN / f"{data.name}.txt"
    if os.environ.get("JIZUO_GOLDEN") == "write":
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_there_is_no_golden_file_of_a_host_that_is_gone() -> None:
    assert {file.stem for file in GOLDEN.glob("*.txt")} == set(HOSTS)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("nft") is None, reason="needs root and nft")
@pytest.mark.parametrize("data", HOSTS.values(), ids=lambda data: data.name)
def test_the_kernel_takes_the_rules_twice(tmp_path: Path, data: HostData) -> None:
    """In a network namespace of this test's own; loading replaces the tables and adds nothing."""
    for network in data.networks:
        assert_loads(tmp_path, private.rules(network))
    # Where VRFs hold the networks, their tables stand beside the host's own.
    assert_loads(tmp_path, rules(data) + "".join(private.vrf_rules(network) for network in data.networks))


def assert_loads(folder: Path, script: str) -> None:
    """Load a script twice in a fresh network namespace and compare what the kernel lists."""
    (folder / "rules").write_text(script, encoding="utf-8")
    steps = "set -e; nft -f rules; nft -s list ruleset >one; nft -f rules; nft -s list ruleset >two"
    done = subprocess.run(
        ["unshare", "--net", "sh", "-c", steps],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "one").read_text() == (folder / "two").read_text() != ""


class TestYichun:
    """Spot checks of the whole city's configuration."""

    city = load_city(YICHUN)
    plan = build_plan(city)
    topology = build_topology(city, plan)

    def test_each_county_shows_as_one_prefix_a_family(self) -> None:
        counties = [site for site in self.city.sites.values() if site.level is Level.COUNTY]
        assert len(counties) == 13
        core = self.topology.nodes["core-a"]
        for site in counties:
            router = next(node.id for node in self.city.nodes.values() if node.site == site.id)
            neighbor = next(n for n in core.neighbors if n.node == router)
            for family in Family:
                prefix = self.plan.county_prefix(site.id, family)
                assert neighbor.accept[family] == ((str(prefix), prefix.prefixlen),)
            text = frr_configuration(self.topology.nodes[router], passwords(self.topology.nodes[router]))
            for family in Family:
                assert f"aggregate-address {self.plan.county_prefix(site.id, family)} summary-only\n" in text
            assert text.count(" summary-only") == 2

    def test_what_a_router_is_sent_fits_its_limit(self) -> None:
        """Each neighbour's limit holds what that neighbour announces when all is well, and not twice the city."""
        nodes = self.topology.nodes
        below: dict[str, int] = {}
        for name, node in nodes.items():
            for neighbor in node.neighbors:
                if neighbor.relation is Relation.DOWN and neighbor.role == "access":
                    below.setdefault(name, 0)
                    below[name] += 1
        for name, node in nodes.items():
            for neighbor in node.neighbors:
                if neighbor.relation is Relation.DOWN and node.level is Level.COUNTY:
                    announced = 2 * (1 + below.get(neighbor.node, 0))
                    assert announced <= neighbor.limit <= 2 * announced + 8, f"{name} from {neighbor.node}"

    def test_a_village_of_a_large_county(self) -> None:
        village = (
            "r360981100200"
            if "r360981100200" in self.topology.nodes
            else next(name for name, node in self.topology.nodes.items() if node.level is Level.VILLAGE)
        )
        node = self.topology.nodes[village]
        text = frr_configuration(node, passwords(node))
        (up,) = node.neighbors
        assert up.relation is Relation.UP
        for family in Family:
            lan = self.plan.lan(self.city.nodes[village].site, family)
            word = "ip" if family is Family.IPV4 else "ipv6"
            assert f"{word} prefix-list OWN seq 10 permit {lan}\n" in text
            county = self.plan.county_prefix(self.plan.owner(self.city.nodes[village].site), family)
            assert IPNetwork(str(lan)) in county
        assert "default-originate" not in text

    def test_every_password_is_one_link_s(self) -> None:
        core = self.topology.nodes["core-b"]
        text = frr_configuration(core, passwords(core))
        assert text.count(" password ") == 2 * len(core.neighbors)
