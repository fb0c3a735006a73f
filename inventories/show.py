"""What is known of one object of a city: its own record, and all that is derived for it?"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from inventories.backups.records import BackupPolicy, Backups
from inventories.plan import AddressPlan
from inventories.private import crossing_prefixes, network_of
from inventories.records import (
    City,
    Division,
    Family,
    Link,
    Node,
    NodeRole,
    PrivateNetwork,
    Site,
    SiteRole,
    System,
    Unit,
)
from inventories.topology import RoutedNode, Topology
from inventories.tree import SiteTree

Data = dict[str, Any]


class Match:
    """An object that a name stands for: its kind (`division`, `site`, `node` ...) and its id."""

    def __init__(self, kind: str, key: str) -> None:
        self.kind = kind
        self.key = key


class Inspector:
    """Finds objects of a city by id or name and gathers what is derived for them.

    Args:
        city: the city.
        plan: its address plan; None leaves addresses out.
        topology: its topology; None leaves AS numbers and neighbours out.
    """

    def __init__(self, city: City, plan: AddressPlan | None, topology: Topology | None) -> None:
        self.city = city
        self.plan = plan
        self.topology = topology
        self.tree = SiteTree(city)

    @functools.cached_property
    def _kinds(self) -> dict[str, dict[str, Any]]:
        city = self.city
        return {
            "division": city.divisions,
            "site": city.sites,
            "node": city.nodes,
            "link": city.links,
            "system": city.systems,
            "unit": city.units,
            "policy": city.backups,
            "network": city.networks,
        }

    @functools.cached_property
    def _network_of(self) -> Mapping[str, str]:
        return network_of(self.city)

    def find(self, name: str) -> list[Match]:
        """Every object with that id, or else with that name, a division's with those above it or without.

        `余坊村委会`, `慈化镇/余坊村委会` and `袁州区/慈化镇/余坊村委会` are the same village. An access site
        is described with its division.
        """
        found = [Match(kind, name) for kind, records in self._kinds.items() if name in records]
        if not found:
            parts = name.strip("/").split("/")
            found = [
                Match(kind, key)
                for kind, records in self._kinds.items()
                for key, record in records.items()
                if getattr(record, "name", "") == parts[-1] and self._is_below(kind, key, parts)
            ]
        kinds = {(match.kind, match.key) for match in found}
        return [match for match in found if match.kind != "site" or ("division", match.key) not in kinds]

    def _is_below(self, kind: str, key: str, parts: list[str]) -> bool:
        return len(parts) == 1 or (kind == "division" and self.path(key).split("/")[-len(parts) :] == parts)

    def names(self) -> list[str]:
        """Every id and every name, to suggest the one that is meant."""
        found: dict[str, None] = {}
        for records in self._kinds.values():
            for key, record in records.items():
                found[key] = None
                found[getattr(record, "name", "") or key] = None
        return list(found)

    def path(self, code: str) -> str:
        """The names of a division and all above it, from the top, with slashes between them."""
        names: list[str] = []
        while code in self.city.divisions:
            names.append(self.city.divisions[code].name)
            code = self.city.divisions[code].parent
        return "/".join(reversed(names))

    def describe(self, match: Match) -> Data:
        """All that is known of an `object`, as plain data: its own fields, then what is derived."""
        record = self._kinds[match.kind][match.key]
        describe: dict[str, Callable[[Any], Data]] = {
            "division": self._division,
            "site": self._site,
            "node": self._node,
            "link": self._link,
            "system": self._system,
            "unit": self._unit,
            "policy": self._policy,
            "network": self._network,
        }
        return {"object": match.kind, **describe[match.kind](record)}

    def _division(self, division: Division) -> Data:
        children = [row for row in self.city.divisions.values() if row.parent == division.code]
        data = {**msgspec.to_builtins(division), "path": self.path(division.code)}
        data["divisions_below"] = len(children)
        site = self.city.sites.get(division.code)
        data["site"] = self._site(site) if site else "none: it is not in the extranet"
        if division.code == self.city.layout.division and self.plan is not None:
            data["site"] = "the city itself: its sites have names"
            data["prefixes"] = {"ipv4": self.city.layout.ipv4.prefix, "ipv6": self.city.layout.ipv6.prefix}
        return data

    def _site(self, site: Site) -> Data:
        data: Data = msgspec.to_builtins(site)
        data["path"] = self.path(site.division)
        data["below"] = self.tree.counts(site.id)
        nodes = self.tree.nodes.get(site.id, [])
        data["nodes"] = [self._addressed(node) for node in nodes]
        data["links"] = [
            {"link": link.id, "a": link.a, "b": link.b, "kind": link.kind.value, "plane": link.plane.value}
            for link in self.city.links.values()
            if link.a in nodes or link.b in nodes
        ]
        systems = [
            key
            for key, system in self.city.systems.items()
            if any(self.city.nodes[node].site == site.id for node in system.nodes)
        ]
        data["systems"] = systems
        data["networks"] = self._networks_at(site)
        if self.plan is not None:
            plan = self.plan
            data["prefixes"] = _families(lambda family: [str(p) for p in plan.site_prefix(site.id, family)])
            data["lan"] = _families(lambda family: str(plan.lan(site.id, family)))
            data["gateway"] = _families(lambda family: str(plan.gateway(site.id, family)))
            data["infrastructure"] = _families(lambda family: str(plan.infrastructure(site.id, family)))
        return _without_nothing(data)

    def _node(self, node: Node) -> Data:
        data: Data = msgspec.to_builtins(node)
        data["path"] = self.path(self.city.sites[node.site].division)
        if node.id not in self._network_of:  # no public name leads into a private network
            data["dns_name"] = f"{node.id}.{self.city.layout.domain}"
        if self.plan is not None:
            plan = self.plan
            service = "loopback" if node.role is NodeRole.ROUTER else "address"
            data[service] = _families(lambda family: str(plan.host(node.id, family)))
            data["management"] = _families(lambda family: str(plan.management(node.id, family)))
        network = self._network_of.get(node.id, "")
        if network:
            data["network"] = f"{network} {self.city.networks[network].name}".strip()
            data |= self._private_lan(network, node.site)
        elif node.role is NodeRole.ROUTER:
            data["networks"] = self._networks_of(node)
        routed = self.topology.nodes.get(node.id) if self.topology is not None else None
        if routed is not None:
            data["as_number"] = routed.asn
        data["links"] = [
            self._end(link, node.id, routed)
            for link in self.city.links.values()
            if node.id in (link.a, link.b)
        ]
        data["systems"] = [key for key, system in self.city.systems.items() if node.id in system.nodes]
        covering = set(data["systems"])
        policies = self.city.backups
        data["policies"] = [key for key, policy in policies.items() if covering & set(policy.systems)]
        data["repository_of"] = [key for key, policy in policies.items() if policy.repository == node.id]
        data["copy_of"] = [key for key, policy in policies.items() if node.id in policy.copies]
        if data["repository_of"] or data["copy_of"]:
            data["repository"] = self._repository(node.id)
        return _without_nothing(data)

    def _end(self, link: Link, node: str, routed: RoutedNode | None) -> Data:
        """A link as one of its ends sees it."""
        peer = link.b if link.a == node else link.a
        data: Data = {"link": link.id, "peer": peer, "kind": link.kind.value, "plane": link.plane.value}
        neighbor = next((n for n in routed.neighbors if n.link == link.id), None) if routed else None
        if neighbor is not None:
            data["peer_as_number"] = neighbor.asn
            data["relation"] = neighbor.relation.value
            data["local"] = {family.value: neighbor.local[family] for family in Family}
            data["remote"] = {family.value: neighbor.remote[family] for family in Family}
        return data

    def _link(self, link: Link) -> Data:
        data: Data = msgspec.to_builtins(link)
        for end, name in (("a", link.a), ("b", link.b)):
            data[f"site_of_{end}"] = f"{self.city.nodes[name].site} {self._place(name)}"
        if self.plan is not None:
            plan = self.plan
            data["prefixes"] = _families(lambda family: str(plan.link_prefix(link.id, family)))
            data["addresses"] = {
                name: addresses
                for name in (link.a, link.b)
                if (addresses := self._link_addresses(link.id, name))
            }
        return _without_nothing(data)

    def _link_addresses(self, link: str, node: str) -> Data:
        assert self.plan is not None  # noqa: S101 - asked only with a plan
        plan = self.plan
        return _families(lambda family: str(plan.link_address(link, node, family)))

    def _place(self, node: str) -> str:
        return self.path(self.city.sites[self.city.nodes[node].site].division)

    def _system(self, system: System) -> Data:
        data: Data = msgspec.to_builtins(system)
        data["owners"] = [self._owner(owner) for owner in system.owners]
        data["nodes"] = [self._addressed(node) for node in system.nodes]
        data["policies"] = [
            self._objectives(key, policy)
            for key, policy in self.city.backups.items()
            if system.id in policy.systems
        ]
        reason = self._places.without.get(system.id)
        if reason is not None:
            data["no_backup"] = {"reason": reason.reason, "owner": self._owner(reason.owner)}
        return _without_nothing(data)

    @property
    def _places(self) -> Backups:
        return self.city.backup_places or Backups()

    def _repository(self, node: str) -> Data:
        """What is known of the repositories on a node; Mbit/s where there is a limit."""
        repository = self._places.repository(node)
        data: Data = {
            "medium": repository.medium.value,
            "protection": repository.protection.value,
            "removes_old_snapshots": repository.window,
        }
        return data | ({"bandwidth": repository.bandwidth} if repository.bandwidth else {})

    def _owner(self, owner: str) -> str:
        return f"{owner} {self.city.units[owner].name}"

    def _addressed(self, node: str) -> Data:
        data: Data = {
            "node": node,
            "site": self.city.nodes[node].site,
            "role": self.city.nodes[node].role.value,
        }
        if node in self._network_of:
            data["network"] = self._network_of[node]
        if self.plan is not None:
            plan = self.plan
            data |= _families(lambda family: str(plan.host(node, family)))
        if self.topology is not None and node in self.topology.nodes:
            data["as_number"] = self.topology.nodes[node].asn
        return data

    def _objectives(self, key: str, policy: BackupPolicy) -> Data:
        return {
            "policy": key,
            "repository": policy.repository,
            "copies": list(policy.copies),
            "rpo": policy.rpo,
            "rto": policy.rto,
        }

    def _network(self, network: PrivateNetwork) -> Data:
        data: Data = msgspec.to_builtins(network)
        data["unit"] = self._owner(network.unit)
        hosts: dict[str, list[str]] = {}
        routers: dict[str, dict[str, None]] = {}
        for link in self.city.links.values():
            if link.network == network.id:
                site = self.city.nodes[link.b].site
                hosts.setdefault(site, []).append(link.b)
                routers.setdefault(site, {})[link.a] = None
        data["sites"] = [
            {
                "site": site,
                "path": self.path(self.city.sites[site].division),
                "routers": list(routers[site]),
                **self._private_lan(network.id, site),
                "hosts": [self._addressed(host) for host in members],
            }
            for site, members in hosts.items()
        ]
        data |= self._shown_outside(network)
        return _without_nothing(data)

    def _shown_outside(self, network: PrivateNetwork) -> Data:
        """How the network meets the public zone: at the border, IPv4 as one address, IPv6 as it is."""
        if self.plan is None:
            return {}
        if not self.plan.border:
            return {"border": "none: nothing leads from the network into the public zone"}
        outside = crossing_prefixes(self.city, self.plan)[network.id]
        return {
            "border": self.plan.border,
            "crossing": _crossing(self.plan, network.id),
            "outside_as": {family.value: outside[family] for family in Family},
        }

    def _private_lan(self, network: str, site: str) -> Data:
        if self.plan is None:
            return {}
        plan = self.plan
        return {
            "lan": _families(lambda family: str(plan.private_lan(network, site, family))),
            "gateway": _families(lambda family: str(plan.private_gateway(network, site, family))),
        }

    def _networks_at(self, site: Site) -> list[Data]:
        """The private networks that have a LAN at a site."""
        names = dict.fromkeys(
            self._network_of[node] for node in self.tree.nodes.get(site.id, []) if node in self._network_of
        )
        return [{"network": name, **self._private_lan(name, site.id)} for name in names]

    def _networks_of(self, router: Node) -> list[Data]:
        """The private networks that a router carries: those of its LANs, or on the border all of them."""
        site = self.city.sites[router.site]
        if site.role is not SiteRole.BORDER:
            names = dict.fromkeys(
                link.network for link in self.city.links.values() if link.network and link.a == router.id
            )
            return [{"network": name, **self._private_lan(name, site.id)} for name in names]
        if self.plan is None:
            return []
        return [{"network": name, "crossing": _crossing(self.plan, name)} for name in self.city.networks]

    def _unit(self, unit: Unit) -> Data:
        data: Data = msgspec.to_builtins(unit)
        data["systems"] = [
            f"{key} {system.name}" for key, system in self.city.systems.items() if unit.id in system.owners
        ]
        data["policies"] = [key for key, policy in self.city.backups.items() if policy.owner == unit.id]
        data["without_backup"] = [
            f"{key} {self.city.systems[key].name}"
            for key, reason in self._places.without.items()
            if reason.owner == unit.id
        ]
        data["networks"] = [
            f"{key} {network.name}".strip()
            for key, network in self.city.networks.items()
            if network.unit == unit.id
        ]
        return _without_nothing(data)

    def _policy(self, policy: BackupPolicy) -> Data:
        data: Data = msgspec.to_builtins(policy)
        data["owner"] = self._owner(policy.owner)
        data["systems"] = [f"{key} {self.city.systems[key].name}" for key in policy.systems]
        sources = dict.fromkeys(node for key in policy.systems for node in self.city.systems[key].nodes)
        data["backed_up_nodes"] = [self._addressed(node) for node in sources]
        data["repository"] = self._addressed(policy.repository) | self._repository(policy.repository)
        data["copies"] = [
            {**self._addressed(node), "in": self._place(node), **self._repository(node)}
            for node in policy.copies
        ]
        return _without_nothing(data)


def _crossing(plan: AddressPlan, network: str) -> Data:
    """The border's link into a private network: its public end and its private end, in both families."""
    ends = {family.value: plan.crossing(network, family) for family in Family}
    return {
        end: {family: str(addresses[number]) for family, addresses in ends.items()}
        for number, end in enumerate(("public_end", "private_end"))
    }


def _families(value: Callable[[Family], Any]) -> Data:
    """A value of the plan in both families; empty where the plan has none for the object (an access link)."""
    found = {}
    for family in Family:
        try:
            found[family.value] = value(family)
        except KeyError:
            continue
    return found


def _without_nothing(data: Data) -> Data:
    lists = {key: list(value) if isinstance(value, tuple) else value for key, value in data.items()}
    return {key: value for key, value in lists.items() if value not in ("", [], {}, None)}
