"""The NetBox files against what NetBox's import forms take, which stands in netbox_columns.toml with its source."""

from __future__ import annotations

import csv
import io
import ipaddress
import re
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from inventories.export_netbox import render_netbox
from inventories.load import load_city
from inventories.plan import build_plan

HERE = Path(__file__).parent
CITIES = HERE.parents[1] / "inventories"
FORMS: dict[str, Any] = tomllib.loads((HERE / "netbox_columns.toml").read_text(encoding="utf-8"))
#: NetBox's DNSValidator (netbox/ipam/validators.py) and its slugs (Django's SlugField).
DNS_NAME = re.compile(r"([0-9A-Za-z_-]+|\*)(\.[0-9A-Za-z_-]+)*\.?")
SLUG = re.compile(r"[-a-zA-Z0-9_]{1,100}")

#: The number of the file of VRFs, which a city without private networks has not.
VRFS = 6

Table = list[dict[str, str]]


@pytest.fixture(
    scope="module",
    params=[HERE / "small_city", CITIES / "lab", CITIES / "yichun"],
    ids=lambda path: path.name,
)
def tables(request: pytest.FixtureRequest) -> dict[str, Table]:
    city = load_city(request.param)
    files = render_netbox(build_plan(city))
    # The order of import is that of the names, and the same number is the same file in every city.
    assert list(files) == sorted(files)
    numbers = [int(name[:2]) for name in files]
    assert numbers == [number for number in range(1, 11) if number != VRFS or city.networks]
    return {
        re.fullmatch(r"\d\d-(.*)\.csv", name)[1]: list(csv.DictReader(io.StringIO(text)))  # type: ignore[index]
        for name, text in files.items()
    }


def in_vrf(row: dict[str, str], value: str) -> tuple[str, str]:
    """A prefix or address in its routing table; the global one's name is empty."""
    return row["vrf"], value


def test_columns_are_netbox_s_and_none_that_must_be_is_missing(tables: dict[str, Table]) -> None:
    assert list(tables) == [name for name in FORMS if name != "netbox" and (name != "vrfs" or name in tables)]
    for name, rows in tables.items():
        columns = set(rows[0])
        assert columns <= set(FORMS[name]["columns"]), name
        assert set(FORMS[name]["required"]) <= columns, name
        for row in rows:
            assert all(row[column] for column in FORMS[name]["required"]), (name, row)


def test_choices_are_netbox_s(tables: dict[str, Table]) -> None:
    for name, rows in tables.items():
        for column, choices in FORMS[name].get("choices", {}).items():
            assert {row[column] for row in rows} <= set(choices), (name, column)


def test_what_is_named_was_imported_before(tables: dict[str, Table]) -> None:
    for name, rows in tables.items():
        for column, target in FORMS[name].get("names", {}).items():
            table, _, key = target.partition(".")
            if table == "vrfs" and table not in tables:
                assert {row[column] for row in rows} == {""}
                continue
            assert list(tables).index(table) < list(tables).index(name)
            known = {row[key] for row in tables[table]} | {""}
            assert {row[column] for row in rows} <= known, (name, column)
    interfaces = {(row["device"], row["name"]) for row in tables["interfaces"]}
    assert {(row["device"], row["interface"]) for row in tables["ip-addresses"]} <= interfaces


def test_nothing_is_there_twice(tables: dict[str, Table]) -> None:
    keys = {
        "sites": ("name",), "devices": ("name",), "interfaces": ("device", "name"), "device-types": ("model",),
        "prefix-roles": ("name",), "prefixes": ("vrf", "prefix"), "device-roles": ("name",), "vrfs": ("name",),
    }  # fmt: skip
    for name, key in keys.items():
        found = Counter(tuple(row[column] for column in key) for row in tables.get(name, []))
        assert [value for value, times in found.items() if times > 1] == [], name
    addresses = Counter(in_vrf(row, row["address"].partition("/")[0]) for row in tables["ip-addresses"])
    assert max(addresses.values()) == 1


def test_values_pass_netbox_s_own_checks(tables: dict[str, Table]) -> None:
    for name in ("sites", "manufacturers", "device-types", "device-roles", "prefix-roles"):
        assert all(SLUG.fullmatch(row["slug"]) for row in tables[name])
    for row in tables["prefixes"]:
        ipaddress.ip_network(row["prefix"])  # bits past the length are an error
        assert bool(row["scope_type"]) == bool(row["scope_name"])
    for row in tables["ip-addresses"]:
        interface = ipaddress.ip_interface(row["address"])
        network = interface.network
        if network.num_addresses > 2:  # a network or broadcast address cannot be an interface's
            assert interface.ip != network.network_address, row
            assert interface.version == 6 or interface.ip != network.broadcast_address, row
        assert (
            DNS_NAME.fullmatch(row["dns_name"]) or row["vrf"]
        )  # no public name leads into a private network
        assert bool(row["dns_name"]) != bool(row["vrf"])
        assert len(row["dns_name"]) <= 255


def test_every_device_has_one_primary_address_a_family_and_one_out_of_band(tables: dict[str, Table]) -> None:
    primary: Counter[tuple[str, int]] = Counter()
    out_of_band: Counter[str] = Counter()
    for row in tables["ip-addresses"]:
        version = ipaddress.ip_interface(row["address"]).version
        primary[row["device"], version] += row["is_primary"] == "true"
        out_of_band[row["device"]] += row["is_oob"] == "true"
    devices = {row["name"] for row in tables["devices"]}
    assert {device: primary[device, version] for device in devices for version in (4, 6)} == dict.fromkeys(
        devices, 1
    )
    assert {device: out_of_band[device] for device in devices} == dict.fromkeys(devices, 1)


def test_addresses_lie_in_the_prefixes(tables: dict[str, Table]) -> None:
    """Each in one of its own routing table, and none in a VRF that lies in the public plan alone."""
    known = {(row["vrf"], ipaddress.ip_network(row["prefix"])) for row in tables["prefixes"]}
    for row in tables["ip-addresses"]:
        holder = ipaddress.ip_interface(row["address"]).network
        around = []
        while (row["vrf"], holder) not in known:
            assert holder.prefixlen > 8, row
            around.append((row["vrf"], holder))
            holder = holder.supernet()
        known.update(around)


@pytest.mark.parametrize("folder", [HERE / "small_city", CITIES / "lab"], ids=lambda path: path.name)
def test_the_same_ipv4_range_stands_in_two_vrfs(folder: Path) -> None:
    city = load_city(folder)
    files = render_netbox(build_plan(city))
    tables = {name[3:-4]: list(csv.DictReader(io.StringIO(text))) for name, text in files.items()}
    assert {row["name"]: row["enforce_unique"] for row in tables["vrfs"]} == dict.fromkeys(
        city.networks, "true"
    )
    shared = {network.ipv4 for network in city.networks.values()}
    assert len(shared) < len(city.networks)
    for prefix in shared:
        vrfs = {row["vrf"] for row in tables["prefixes"] if row["prefix"] == prefix}
        assert vrfs == {network.id for network in city.networks.values() if network.ipv4 == prefix}
    twice = Counter(row["address"] for row in tables["ip-addresses"])
    assert any(times > 1 for times in twice.values())
    ends = {(row["device"], row["name"]): row["vrf"] for row in tables["interfaces"]}
    for row in tables["ip-addresses"]:  # an address and its interface are in the same table
        assert ends[row["device"], row["interface"]] == row["vrf"]
    for link in city.links.values():
        if link.network:
            assert ends[link.b, link.id] == ends[link.a, f"lan-{link.network}"] == link.network


def test_what_is_a_neighbour_s_is_no_part_of_the_city_s(tables: dict[str, Table]) -> None:
    roles = {row["prefix"]: (row["role"], row["status"]) for row in tables["prefixes"] if not row["vrf"]}
    assert roles["3fff:f00::/64"] == ("internet", "active")
    assert roles["3fff:360::/32"] == ("partner", "container")
    text = {row["name"]: row["description"] for row in tables["prefix-roles"]}
    assert "provider" in text["internet"] and "province" in text["partner"]
