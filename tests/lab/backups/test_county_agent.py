"""A county's agent and the city's long storage: who may write, as whom, and what a cut of the county's links leaves."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from urllib.parse import quote

import pytest

from deploy.lab.lab import Lab
from deploy.lab.places import NAMESPACES
from inventories.hosts import STORAGE_PORT
from inventories.monitoring import AUTHORITY, CLIENT_CERTIFICATE, CLIENT_KEY
from inventories.records import Family
from tests.lab.conftest import Execute, read
from tests.lab.county_agent import AGENT, COUNTY, OPS, cut_off, settled, stored

#: Asks over TLS as a node's network has it, and prints the status, or how the connection ended.
ASK = """
import http.client, ssl, sys
address, port, method, path, authority, *own = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
context.check_hostname = True
if own:
    context.load_cert_chain(*own)
try:
    connection = http.client.HTTPSConnection(address, int(port), timeout=5, context=context)
    connection.request(method, path)
    print(connection.getresponse().status)
except OSError as error:
    print(type(error).__name__)
"""


def ask(lab: Lab, method: str, path: str, address: str, of: str = "") -> str:
    """What the storage answers to the agent's host; `of` names the node whose certificate is shown."""
    authority = lab.places.host(AGENT) / f"upper{AUTHORITY}"
    own = (
        [str(lab.places.host(of) / f"upper{file}") for file in (CLIENT_CERTIFICATE, CLIENT_KEY)] if of else []
    )
    command = [sys.executable, "-c", ASK, address, str(STORAGE_PORT), method, path, str(authority), *own]
    done = subprocess.run(
        ["nsenter", f"--net={NAMESPACES / lab.places.namespace(AGENT)}", *command],
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture(scope="session")
def interval(lab: Lab) -> int:
    return lab.city.layout.monitoring.interval


@pytest.mark.parametrize("family", list(Family))
def test_only_agents_write_and_nobody_reads(lab: Lab, on: Execute, family: Family) -> None:
    there = json.loads(on(OPS, "ip", "-json", "address", "show", "dev", "lo").stdout)[0]["addr_info"]
    version = "inet" if family is Family.IPV4 else "inet6"
    address = next(one["local"] for one in there if one["family"] == version and one["scope"] == "global")
    # An empty batch is none: 400 is the storage's own answer, so the agent got as far.
    assert ask(lab, "POST", "/api/v1/write", address, AGENT) == "400"
    assert ask(lab, "GET", "/api/v1/write", address, AGENT) == "403"
    assert ask(lab, "GET", "/api/v1/query?query=up", address, AGENT) == "404"
    assert ask(lab, "POST", "/api/v1/write", address, "offsite-1") == "403", (
        "a watcher's certificate is no agent's"
    )
    assert ask(lab, "POST", "/api/v1/write", address) == "400", "no certificate was shown"
    listening = on(OPS, "ss", "-Hltn", "sport", "=", ":8428").stdout.split()
    assert listening[3] == "127.0.0.1:8428"


def test_the_storage_says_whose_samples_they_are(lab: Lab, on: Execute, interval: int) -> None:
    now = time.time()
    series = stored(on, now - 10 * interval, now, 'up{shard!=""}')
    assert {one["metric"]["shard"] for one in series} == {COUNTY}
    assert {one["metric"]["replica"] for one in series} == {AGENT}
    nodes = {one["metric"]["instance"] for one in series if one["metric"]["job"] == "node"}
    below = {node.id for node in lab.city.nodes.values() if node.site.startswith(COUNTY)}
    assert nodes == below
    own = {one["metric"]["replica"] for one in stored(on, now - 10 * interval, now, 'up{shard=""}')}
    assert own == {OPS}, "what the city's own Prometheus scrapes is kept too"


def test_a_short_cut_leaves_no_gap(lab: Lab, on: Execute, interval: int) -> None:
    begin = time.time() - 4 * interval
    with cut_off(lab):
        cut = time.time()
        time.sleep(18)
        late = stored(on, cut + 5, time.time(), f'up{{replica="{AGENT}"}}')
        assert not late, "samples arrived while both links were cut"
        healed = time.time()
    end = time.time() + interval
    time.sleep(interval)
    found = settled(on, begin, end, interval, 60)
    print(found)
    assert not found.wrong
    # Beside the county's hosts: the agent itself, and the exporter of its probes.
    assert len(found.scrapes) == 2 + sum(node.site.startswith(COUNTY) for node in lab.city.nodes.values())
    within, without = (probed(on, cut + 12, healed, replica) for replica in (AGENT, OPS))
    assert set(within) == set(without)
    assert {family for _, family in within} == {"ipv4", "ipv6"}
    assert set().union(*within.values()) == {1}, "nothing was down in the county"
    assert set().union(*without.values()) == {0}, "from the city nothing of it could be reached"


def probed(on: Execute, begin: float, end: float, replica: str) -> dict[tuple[str, str], set[float]]:
    """What the probes of one exporter found of the county's nodes between two moments, by node and family."""
    series = stored(on, begin, end, f'jizuo_probe_success{{replica="{replica}",county="{COUNTY}"}}')
    return {
        (one["metric"]["subject"], one["metric"]["family"]): {
            value for value in one["values"] if value is not None
        }
        for one in series
    }


def test_a_county_is_probed_from_within(lab: Lab, on: Execute, interval: int) -> None:
    now = time.time()
    below = {node.id for node in lab.city.nodes.values() if node.site.startswith(COUNTY)}
    found = probed(on, now - 20 * interval, now, AGENT)
    assert {node for node, _ in found} <= below
    assert {"yufang", "cihua", "yuanzhou", AGENT} <= {node for node, _ in found}
    assert {family for _, family in found} == {"ipv4", "ipv6"}
    assert all(1 in values for values in found.values()), found
    listening = on(AGENT, "ss", "-Hltn", "sport", "=", ":9910").stdout.split()
    assert listening[3] == "[::1]:9910", "what it serves leaves the host by the agent's writes alone"


def test_probes_that_stand_still_are_told_of_and_name_the_agent(lab: Lab, on: Execute) -> None:
    """The timer is the host's own; it is only not waited for."""
    url = f"https://[{lab.record.hosts[OPS][1]}]:9090/api/v1/query?query="
    alert = quote('ALERTS{alertname="CountyProbesStale",alertstate="firing"}')

    def told() -> set[tuple[str, str]]:
        found = json.loads(read(lab, url + alert))["data"]["result"]
        return {(one["metric"]["subject"], one["metric"]["county"]) for one in found}

    def until(wanted: set[tuple[str, str]]) -> None:
        end = time.monotonic() + 240
        while told() != wanted:
            on(AGENT, "systemctl", "start", "jizuo-county-probes.service")
            assert time.monotonic() < end, told()
            time.sleep(2)

    assert told() == set()
    on(AGENT, "systemctl", "stop", "jizuo-availability.service")
    try:
        until({(AGENT, COUNTY)})
    finally:
        on(AGENT, "systemctl", "start", "jizuo-availability.service")
    until(set())
