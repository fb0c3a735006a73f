"""pyinfra's view of a city: groups of hosts, each with its finished data and strict SSH settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from deploy.login.files import province_files
from deploy.secrets import PassingSecrets, SecretStore, StateError, state_folder
from inventories.hosts import host_data, linux_nodes
from inventories.load import load_city
from inventories.plan import build_plan
from inventories.records import City, Family, Management, NodeRole

Groups = dict[str, list[tuple[str, dict[str, Any]]]]

#: The group that each role's nodes are in, and the order in which groups are listed.
GROUPS = {
    NodeRole.OPERATIONS: "operations",
    NodeRole.BACKUP: "backup",
    NodeRole.OFFSITE: "offsite",
    NodeRole.ROUTER: "routers",
    NodeRole.CLOUD: "cloud",
    NodeRole.AGENT: "agents",
    NodeRole.CLIENT: "clients",
}


def pyinfra_groups(path: Path, *, dry: bool = False) -> Groups:
    """Read the inventory folder and return pyinfra's groups, by name.

    The controller's state folder (`JIZUO_STATE`) gives the key, the pinned host keys and, for a lab on other
    management prefixes than the inventory's, those prefixes. When `dry`, no secret is kept that was not there.

    Raises:
        InventoryError: the inventory has problems; no host has been touched.
        StateError: a secret that the province gives is not in the state folder.
    """
    city = deployed_city(path)
    state = state_folder()
    data = host_data(city, build_plan(city))
    secrets = (PassingSecrets if dry else SecretStore)(state / "secrets")
    if city.layout.monitoring.province:
        province_files(secrets)
    groups: Groups = {name: [] for name in GROUPS.values()}
    for node in linux_nodes(city).values():
        here = data[node.id]
        groups[GROUPS[node.role]].append(
            (
                node.id,
                {
                    "ssh_hostname": here.management[Family.IPV4],
                    "ssh_user": "deploy",
                    "ssh_key": str(state / "ssh" / "deploy"),
                    "ssh_known_hosts_file": str(state / "known_hosts"),
                    "ssh_strict_host_key_checking": "yes",
                    "ssh_allow_agent": False,
                    "ssh_look_for_keys": False,
                    "_sudo": True,
                    "city": here,
                    "all_hosts": data,
                    "secrets": secrets,
                    "state_folder": state,
                    "inventory_folder": path,
                },
            )
        )
    return groups


def deployed_city(path: Path) -> City:
    """The city of an inventory folder, with the management prefixes of the lab that stands for it.

    Raises:
        InventoryError: the inventory has problems.
    """
    city = load_city(path)
    record = state_folder() / "lab.json"
    management = _management_of(record, set(city.nodes))
    if management is None:
        return city
    return msgspec.structs.replace(city, layout=msgspec.structs.replace(city.layout, management=management))


def _management_of(record: Path, nodes: set[str]) -> Management | None:
    """The management prefixes of the lab whose state folder this is; None where it is no lab's.

    Raises:
        StateError: the lab has other hosts than the inventory; its keys and prefixes are not this city's.
    """
    try:
        content = msgspec.json.decode(record.read_bytes())
    except FileNotFoundError:
        return None
    if set(content["hosts"]) != nodes:
        raise StateError(
            f"{record} is of a lab of {content['inventory']}, which has other hosts than this inventory; "
            "set JIZUO_STATE to the state folder of this city"
        )
    return msgspec.convert(content["management"], Management)
