"""The address plan as lines of `/etc/hosts` (hosts(5)): every name with its addresses in both families."""

from __future__ import annotations

from inventories.export_csv import sorted_addresses
from inventories.plan import AddressPlan

#: Roles whose address the host's short name stands for too.
SERVICE = ("loopback", "host")


def render_hosts(plan: AddressPlan) -> dict[str, str]:
    """Answer the file `hosts`: address, full name, and the short name at the host's service address."""
    layout = plan.city.layout
    lines = [f"# {layout.name} ({layout.division})"]
    for row in sorted_addresses(plan):
        alias = f" {row.host}" if row.role in SERVICE else ""
        lines.append(f"{row.address} {row.dns_name}{alias}")
    return {"hosts": "\n".join(lines) + "\n"}
