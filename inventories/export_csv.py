"""The address plan as CSV (RFC 4180) and JSON: tables whose columns stay as they are.

Private networks have tables of their own, for the same address may stand in two of them: in `addresses.csv` an
address stands once, and whoever looks one up there gets one answer.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Sequence
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any, NamedTuple

from inventories.plan import AddressPlan, AddressRow, PrefixRow, PrivateAddressRow, PrivatePrefixRow
from inventories.records import Family


class Table(NamedTuple):
    """A table of the export: its name, its columns, its rows in order."""

    name: str
    columns: tuple[str, ...]
    rows: Callable[[AddressPlan], Sequence[Any]]

    @property
    def file(self) -> str:
        """The name of its CSV file."""
        return f"{self.name}.csv"

    @property
    def key(self) -> str:
        """What it is called in `plan.json`."""
        return self.name.replace("-", "_")


def sorted_prefixes(plan: AddressPlan) -> list[PrefixRow]:
    """Answer every prefix in numeric order, IPv4 first, a prefix before those that it holds."""
    return sorted(plan.prefixes(), key=_prefix_key)


def sorted_addresses(plan: AddressPlan) -> list[AddressRow]:
    """Answer every address in numeric order, IPv4 first."""
    return sorted(plan.addresses(), key=lambda row: (*_numeric(row.address, row.family), row.host))


def sorted_private_prefixes(plan: AddressPlan) -> list[PrivatePrefixRow]:
    """Answer the prefixes of private networks, network by network, each as :func:`sorted_prefixes` does."""
    return sorted(plan.private_prefixes(), key=lambda row: (row.network, *_prefix_key(row)))


def sorted_private_addresses(plan: AddressPlan) -> list[PrivateAddressRow]:
    """Answer the addresses in private networks, network by network, each in numeric order, IPv4 first."""
    return sorted(
        plan.private_addresses(),
        key=lambda row: (row.network, *_numeric(row.address, row.family), row.host),
    )


def _prefix_key(row: PrefixRow | PrivatePrefixRow) -> tuple[int, bytes, int]:
    address, _, bits = row.prefix.partition("/")
    return (*_numeric(address, row.family), int(bits))


def _numeric(address: str, family: Family) -> tuple[int, bytes]:
    if family is Family.IPV4:
        return 4, inet_pton(AF_INET, address)
    return 6, inet_pton(AF_INET6, address)


PREFIXES = Table("prefixes", PrefixRow._fields, sorted_prefixes)
ADDRESSES = Table("addresses", AddressRow._fields, sorted_addresses)
PRIVATE_PREFIXES = Table("private-prefixes", PrivatePrefixRow._fields, sorted_private_prefixes)
PRIVATE_ADDRESSES = Table("private-addresses", PrivateAddressRow._fields, sorted_private_addresses)
TABLES = (PREFIXES, ADDRESSES, PRIVATE_PREFIXES, PRIVATE_ADDRESSES)


def render_csv(plan: AddressPlan) -> dict[str, str]:
    """Answer a file for each of :data:`TABLES`, UTF-8, lines end with LF; without private networks theirs hold
    no row.
    """
    return {table.file: _text(table.columns, table.rows(plan)) for table in TABLES}


def _text(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()


def render_json(plan: AddressPlan) -> dict[str, str]:
    """Answer `plan.json`: an object with the city's `name` and `division`, and a list for each of :data:`TABLES`.

    Every row is an object on a line of its own, with the CSV's columns as keys.
    """
    layout = plan.city.layout
    body = json.dumps({"name": layout.name, "division": layout.division}, ensure_ascii=False)[:-1]
    for table in TABLES:
        rows = ",\n".join(json.dumps(row._asdict(), ensure_ascii=False) for row in table.rows(plan))
        body += f', "{table.key}": [\n{rows}\n]' if rows else f', "{table.key}": []'
    return {"plan.json": body + "}\n"}
