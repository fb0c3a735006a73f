"""Pushes to both vendors' devices over real SSH: whole or not at all, told in the device's words, and twice is once."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.lab.keys import ensure_key
from deploy.vendors.cli import Fleet, requests_for
from tests.deploy.vendors.city import CABLES, VENDORS, Bench, bench, write_cables
from tests.deploy.vendors.device import Fault, Tree, lines_below

NODES = [pytest.param("yuanzhou", id="vrp"), pytest.param("cihua", id="comware")]
#: What does not depend on the vendor is asked of one of them at once, and of the other with the tests that wait long.
ONE_AT_ONCE = [NODES[0], pytest.param("cihua", id="comware", marks=pytest.mark.slow)]


@pytest.fixture
def at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with bench(tmp_path, monkeypatch) as found:
        yield found


def same(one: Tree, other: Tree) -> bool:
    return json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)


def bgp_of(running: Tree) -> Tree:
    return next(below for line, below in running.items() if line.startswith("bgp "))


def test_push_twice(at_work: Bench) -> None:
    """The first push configures both devices, the second finds nothing to do; no password stays anywhere."""
    looked = at_work.diff()
    assert looked.code == 2, looked.err
    assert "password cipher ******" in looked.out and "password simple ******" in looked.out
    assert at_work.push("--dry").code == 2
    assert not any("system-view" in device.told for device in at_work.devices.values())
    done = at_work.push()
    assert done.code == 0, done.out + done.err
    for node, device in at_work.devices.items():
        assert device.running == device.startup, "kept for a restart"
        assert device.fallback is None, "nothing is on trial any more"
        assert device.name == node
        assert "stelnet server enable" in device.running or "ssh server enable" in device.running
    told = {node: len(device.told) for node, device in at_work.devices.items()}
    again = at_work.push("--json")
    lines = {one["node"]: one["lines"] for one in json.loads(again.out)}
    assert (again.code, lines) == (0, {node: [] for node in VENDORS})
    reading = {"screen-length 0 temporary", "screen-length disable", "display current-configuration"}
    for node, device in at_work.devices.items():
        assert set(device.told[told[node] :]) <= reading
    secrets = at_work.secrets()
    assert len(secrets) == 5, "one a link: three at the county, three at the township, one of them the same"
    kept = list(at_work.everything_kept())
    assert any(file.name == "stdout" for file, _ in kept), "ansible-runner's artifacts"
    for file, text in kept:
        assert not any(secret in text for secret in secrets), file
    assert not any(secret in looked.out + done.out + done.err for secret in secrets)


def test_one_device_fails_and_the_other_is_done(at_work: Bench) -> None:
    """Through Ansible: each router's own outcome, the refusal in the device's words, exit code 1."""
    (request,) = requests_for(Fleet(at_work.path), ["yuanzhou"], at_work.state, 2)
    weak = request.passwords["198.18.130.28"]
    at_work.devices["yuanzhou"].faults = [Fault(r"^peer \S+ password", "refuse", f"'{weak}' is too weak.")]
    before = copy.deepcopy(at_work.devices["yuanzhou"].running)
    done = at_work.push()
    assert done.code == 1
    assert "│ cihua    │ changed │" in done.out and "│ yuanzhou │ failed  │" in done.out
    assert "yuanzhou: 'peer 198.18.130.28 password cipher ******': Error: '******' is too weak." in done.out
    assert "yuanzhou: it runs what it ran before" in done.out
    assert same(at_work.devices["yuanzhou"].running, before)
    for file, text in at_work.everything_kept():
        assert not any(secret in text for secret in {weak, *at_work.secrets()}), file


def test_devices_have_the_passwords_of_the_links(at_work: Bench) -> None:
    """Both ends of a link, both families: the Huawei's session with the H3C has one password."""
    assert [at_work.carry_out(node).state for node in VENDORS] == ["changed", "changed"]
    yuanzhou, cihua = (at_work.devices[node].passwords for node in ("yuanzhou", "cihua"))
    common = set(yuanzhou.values()) & set(cihua.values())
    assert len(common) == 1
    assert [peer for peer, word in yuanzhou.items() if word in common] == ["198.18.4.3", "2001:db8:100:1::3"]


@pytest.mark.parametrize("node", NODES)
def test_change_is_the_only_thing_sent(at_work: Bench, node: str) -> None:
    assert at_work.carry_out(node).state == "changed"
    device = at_work.devices[node]
    lan = device.running[f"interface {CABLES[node, 'lan0']}"]
    del lan[next(line for line in lan if line.startswith("ipv6 address "))]
    before = len(device.told)
    outcome = at_work.carry_out(node)
    assert (outcome.state, outcome.sent, outcome.problem) == ("changed", 2, "")
    told = [
        line for line in device.told[before:] if line.startswith(("interface", "ipv6", "undo", "bgp", "peer"))
    ]
    assert [line.split()[0] for line in told] == ["interface", "ipv6"]
    assert at_work.carry_out(node).state == "unchanged"


@pytest.mark.parametrize("node", ONE_AT_ONCE)
def test_link_that_goes_takes_everything_of_it_along(at_work: Bench, node: str) -> None:
    """What is only used by a device's former link is gone after the push, in an order that the device takes."""
    assert at_work.carry_out(node).state == "changed"
    device = at_work.devices[node]
    wanted = copy.deepcopy(device.running)
    vrp = device.vendor == "vrp"
    bgp, family = bgp_of(device.running), "ipv4-family unicast" if vrp else "address-family ipv4 unicast"
    device.running["route-policy FROM-old-V4 permit node 10"] = {}
    device.running[f"ip {'ip-prefix' if vrp else 'prefix-list'} FROM-old index 10 permit 192.0.2.0 24"] = {}
    bgp["peer 192.0.2.9 as-number 65000"] = {}
    bgp["peer 192.0.2.9 description old over old"] = {}
    bgp[family]["peer 192.0.2.9 enable"] = {}
    bgp[family]["peer 192.0.2.9 route-policy FROM-old-V4 import"] = {}
    bound = "traffic-policy jizuo-link inbound" if vrp else "packet-filter 3002 inbound"
    device.running["interface GigabitEthernet0/8"] = {"ip address 192.0.2.8 31": {}, bound: {}}
    outcome = at_work.carry_out(node)
    assert (outcome.state, outcome.problem) == ("changed", "")
    assert same(device.running, {**wanted, "interface GigabitEthernet0/8": {}})


@pytest.mark.parametrize("node", ONE_AT_ONCE)
def test_refused_line_is_named_and_all_is_taken_back(at_work: Bench, node: str) -> None:
    """The device's own words and the line; what was sent before is gone again, and nothing is sent after it."""
    device = at_work.devices[node]
    before = copy.deepcopy(device.running)
    device.faults = [Fault(r"^peer \S+ timer ", "refuse", "Unrecognized command found at '^' position.")]
    outcome = at_work.carry_out(node)
    assert outcome.state == "failed"
    assert outcome.problem.startswith("'peer ") and " timer keepalive 3 hold 9': " in outcome.problem
    assert outcome.problem.endswith("Unrecognized command found at '^' position.")
    assert "it runs what it ran before" in outcome.afterwards
    assert same(device.running, before)
    assert device.fallback is None
    last = device.told.index(r"refused: ^peer \S+ timer ")
    assert not any(line.startswith("peer ") for line in device.told[last:])
    assert not any(line.startswith(("save", "commit trial")) for line in device.told)


@pytest.mark.parametrize("node", ONE_AT_ONCE)
def test_refusal_amid_a_running_configuration_brings_its_passwords_back(at_work: Bench, node: str) -> None:
    """A device at work was changed by hand; the push that would put it right is refused: it is as it was found."""
    assert at_work.carry_out(node).state == "changed"
    device = at_work.devices[node]
    bgp = bgp_of(device.running)
    line = next(line for line in bgp if " password " in line)
    del bgp[line]
    sealed = "%^%#changed-by-hand%^%#" if device.vendor == "vrp" else "$c$3$changed-by-hand"
    bgp[f"{line.rsplit(' ', 1)[0]} {sealed}"] = {}
    family = next(below for text, below in bgp.items() if "ipv6" in text and below)
    del family[next(text for text in family if "route-limit" in text)]
    before = copy.deepcopy(device.running)
    device.faults = [Fault(r"^peer \S+ route-limit", "refuse", "The limit is too low.")]
    outcome = at_work.carry_out(node)
    assert "The limit is too low." in outcome.problem
    assert same(device.running, before)
    assert at_work.carry_out(node).state == "changed"
    assert at_work.left(node) == ()


@pytest.mark.parametrize("node", ONE_AT_ONCE)
@pytest.mark.parametrize("act", ["drop", "silent", "ask"])
def test_cut_short_amid_the_lines(at_work: Bench, node: str, act: str) -> None:
    """A lost connection, silence, an unforeseen question: an error, and the device runs what it ran."""
    device = at_work.devices[node]
    before = copy.deepcopy(device.running)
    device.faults = [Fault(r"^peer \S+ timer ", act, "Do you want to erase the flash? [Y/N]:")]
    outcome = at_work.carry_out(node)
    words = {
        "drop": ("closed the connection", "connection is gone"),
        "silent": ("is silent for 2 s",),
        "ask": ("asks 'Do you want to erase the flash? [Y/N]:'",),
    }
    assert outcome.state == "failed"
    assert any(word in outcome.problem for word in words[act]), outcome.problem
    assert " timer keepalive 3 hold 9'" in outcome.problem
    assert "it runs what it ran before" in outcome.afterwards
    assert same(device.running, before)
    assert not any(line.startswith("save") for line in device.told)


@pytest.mark.parametrize("node", ONE_AT_ONCE)
@pytest.mark.parametrize("act", ["drop", pytest.param("silent", marks=pytest.mark.slow)])
def test_cut_short_while_the_change_is_kept(at_work: Bench, node: str, act: str) -> None:
    """The device was told to keep the change and said nothing: nobody claims it, and it goes back by itself."""
    device = at_work.devices[node]
    before = copy.deepcopy(device.running)
    device.faults = [Fault(r"^(?:configuration )?commit$", act)]
    outcome = at_work.carry_out(node)
    assert outcome.state == "failed"
    assert "commit'" in outcome.problem
    assert "goes back by itself" in outcome.note
    assert outcome.afterwards == "it runs the new configuration"
    device.expire()
    assert same(device.running, before)
    assert not device.startup


@pytest.mark.parametrize("node", ONE_AT_ONCE)
def test_lock_out_goes_back(at_work: Bench, node: str) -> None:
    """A change after which no new connection is answered is not kept."""
    device = at_work.devices[node]
    before = copy.deepcopy(device.running)
    # The difference is one login, the push another; the third tests the change.
    device.logins_allowed = 2
    outcome = at_work.carry_out(node)
    assert outcome.state == "failed"
    assert outcome.problem.startswith("login at 127.77.0.")
    assert "goes back by itself" in outcome.note
    assert "could not be read" in outcome.afterwards or "going back failed" in outcome.afterwards
    device.expire()
    assert same(device.running, before)
    assert not any(line.startswith("save") for line in device.told)


def test_device_without_commit_delay_is_said_so_and_taken_back(at_work: Bench) -> None:
    device = at_work.devices["cihua"]
    device.knows_commit_delay = False
    before = copy.deepcopy(device.running)
    device.faults = [Fault(r"^peer \S+ timer ", "drop")]
    outcome = at_work.carry_out("cihua")
    assert outcome.afterwards == "every line was taken back: it runs what it ran before"
    assert same(device.running, before)
    outcome = at_work.carry_out("cihua")
    assert outcome.state == "changed"
    assert "knows no commit delay" in outcome.note


@pytest.mark.parametrize("node", ONE_AT_ONCE)
def test_another_hand_between_look_and_push(at_work: Bench, node: str) -> None:
    """What was shown is what is sent; a device that changed in between is not touched."""
    device = at_work.devices[node]
    device.changes_after_login = 1
    outcome = at_work.carry_out(node)
    assert (outcome.state, outcome.sent) == ("failed", 0)
    assert "not as it was when the difference was shown" in outcome.problem
    assert "system-view" not in device.told


def test_device_that_drops_a_line_in_silence_is_found_out(at_work: Bench) -> None:
    """It says nothing and does nothing: the reading back tells."""
    device = at_work.devices["yuanzhou"]
    device.faults = [Fault(r"^router-id ", "ask", "\r\n[*HUAWEI-bgp]")]
    outcome = at_work.carry_out("yuanzhou")
    assert outcome.state == "failed"
    assert "still shows 2 lines of difference" in outcome.problem
    assert outcome.left[1].startswith(" router-id ")


@pytest.mark.slow
def test_configuration_in_pages(at_work: Bench) -> None:
    """A device that does not turn its pages off is read all the same."""
    for node, device in at_work.devices.items():
        assert at_work.carry_out(node).state == "changed"
        device.faults = [Fault(r"^screen-length", "ask", f"\r\n<{device.name}>")]
        assert at_work.left(node) == ()
        assert device.faults == []


def test_wrong_key_and_wrong_host_key(at_work: Bench) -> None:
    known = at_work.state / "known_hosts"
    lines = known.read_text().splitlines()
    keys = [line.split(" ", 1)[1] for line in lines]
    swapped = [f"{line.split()[0]} {key}" for line, key in zip(lines, reversed(keys), strict=True)]
    known.write_text("\n".join(swapped) + "\n")
    done = at_work.diff()
    assert done.code == 1 and done.err.count("another host key than the one pinned") == 2, done.err
    known.write_text("")
    assert "not in known_hosts" in at_work.diff("cihua").err
    known.write_text("\n".join(lines) + "\n")
    (at_work.state / "ssh" / "deploy").unlink()
    ensure_key(at_work.state / "ssh" / "deploy", "another")
    done = at_work.push()
    assert done.code == 1 and done.err.count("does not take the deploy key") == 2
    assert not any(device.told for device in at_work.devices.values())


def test_ports_that_no_row_names(at_work: Bench) -> None:
    """Every missing port at once, with file and the row to add; nothing is sent."""
    write_cables(at_work.path, {key: port for key, port in CABLES.items() if key[1] not in ("lan0", "mgmt0")})
    done = at_work.push()
    assert done.code == 1
    assert done.err.count("vendor-ports.csv:1:1: no port for ") == 4
    assert "add the row yuanzhou,lan0,PORT" in done.err
    assert not any(device.logins for device in at_work.devices.values())


def test_nobody_to_ask(at_work: Bench) -> None:
    done = at_work.router("push", str(at_work.path), "cihua")
    assert done.code == 1 and "say --yes" in done.err
    assert "system-view" not in at_work.devices["cihua"].told


def test_no_line_of_others_is_touched(at_work: Bench) -> None:
    """Lines of other people in sections that are ours: hardware, another routing instance, a way out of band."""
    assert at_work.carry_out("yuanzhou").state == "changed"
    device = at_work.devices["yuanzhou"]
    bgp_of(device.running)["ipv4-family vpn-instance voice"] = {"import-route direct": {}}
    device.running[f"interface {CABLES['yuanzhou', 'yz-a']}"]["mtu 9000"] = {}
    device.running["ip route-static 0.0.0.0 0 198.19.240.1"] = {}
    assert at_work.left("yuanzhou") == ()
    assert "mtu 9000" in list(lines_below(device.running))
