"""The address plan as CSV (RFC 4180) and JSON: two tables whose columns stay as they are."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any

from inventories.plan import AddressPlan, AddressRow, PrefixRow
from inventories.records import Family

PREFIXES = "prefixes.csv"
ADDRESSES = "addresses.csv"


def sorted_prefixes(plan: AddressPlan) -> list[PrefixRow]:
    """Answer every prefix in numeric order, IPv4 first, a prefix before those that it holds."""

    def key(row: PrefixRow) -> tuple[int, bytes, int]:
        address, _, bits = row.prefix.partition("/")
        return (*_numeric(address, row.family), int(bits))

    return sorted(plan.prefixes(), key=key)


def sorted_addresses(plan: AddressPlan) -> list[AddressRow]:
    """Answer every address in numeric order, IPv4 first."""
    return sorted(plan.addresses(), key=lambda row: (*_numeric(row.address, row.family), row.host))


def _numeric(address: str, family: Family) -> tuple[int, bytes]:
    if family is Family.IPV4:
        return 4, inet_pton(AF_INET, address)
    return 6, inet_pton(AF_INET6, address)


def render_csv(plan: AddressPlan) -> dict[str, str]:
    """Answer the two files: `prefixes.csv` and `addresses.csv`, UTF-8, lines end with LF."""
    return {
        PREFIXES: _table(PrefixRow._fields, sorted_prefixes(plan)),
        ADDRESSES: _table(AddressRow._fields, sorted_addresses(plan)),
    }


def _table(header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue()


def render_json(plan: AddressPlan) -> dict[str, str]:
    """Answer `plan.json`: an object with the city's `name` and `division`, and lists `prefixes` and
    `addresses`.

    Every row is an object on a line of its own, with the CSV's columns as keys.
    """
    layout = plan.city.layout

    def lines(rows: Iterable[PrefixRow] | Iterable[AddressRow]) -> str:
        return ",\n".join(json.dumps(row._asdict(), ensure_ascii=False) for row in rows)

    head = json.dumps({"name": layout.name, "division": layout.division}, ensure_ascii=False)
    body = (
        f'{head[:-1]}, "prefixes": [\n{lines(sorted_prefixes(plan))}\n], '
        f'"addresses": [\n{lines(sorted_addresses(plan))}\n]}}\n'
    )
    return {"plan.json": body}
