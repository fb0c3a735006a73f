"""Does each rule of the policy name what exists, and ask for what can be?"""

from __future__ import annotations

from collections.abc import Iterable

from inventories.policy.records import PolicyRule, PolicyService
from inventories.policy.selectors import NAMING, ZONES, Selector, SelectorKind, parse_selector
from inventories.problems import shown
from inventories.records import NodeRole
from inventories.sources import Draft

_FORMS = ", ".join([*ZONES, *(f"{kind}:ID" for kind in NAMING)])
_WHERE = {
    SelectorKind.NETWORK: "a private network of private-networks.csv",
    SelectorKind.UNIT: "a unit of units.csv",
    SelectorKind.SYSTEM: "a system of systems.csv",
    SelectorKind.SITE: "a site of sites.csv",
    SelectorKind.BELOW: "a site of sites.csv",
    SelectorKind.NODE: "a node of nodes.csv",
    SelectorKind.ROLE: "a role of nodes.csv",
}


def check(draft: Draft) -> None:
    """Notes unknown names, ports that are none, and private networks as destinations."""
    for key, service in draft.services.records.items():
        _check_service(draft, key, service)
    # A node that an unknown network's link leads to stands somewhere else than anybody knows: not asked here.
    private = {
        link.b: link.network
        for link in draft.links.records.values()
        if link.network in draft.networks.records and link.b in draft.nodes.records
    }
    for key, rule in draft.rules.records.items():
        _check_rule(draft, key, rule, private)


def _check_service(draft: Draft, key: str, service: PolicyService) -> None:
    if not service.tcp and not service.udp:
        what = f"service {key} has no port"
        draft.report(draft.services, key, "id", what, "add tcp = [...] or udp = [...], or remove it")
    for field in ("tcp", "udp"):
        ports: tuple[int | str, ...] = getattr(service, field)
        seen: set[int | str] = set()
        for number, port in enumerate(ports):
            if isinstance(port, str):
                first, last = map(int, port.split("-"))
                if not first < last <= 65535:
                    what = f"{field} is {shown(port)}, which is no range of ports"
                    fix = 'write the lower port first, at most 65535: "8000-8099"'
                    draft.report(draft.services, key, field, what, fix, number)
            if port in seen:
                what = f"{field} has {port} twice"
                draft.report(draft.services, key, field, what, "remove one of the two", number)
            seen.add(port)


def _check_rule(draft: Draft, key: str, rule: PolicyRule, private: dict[str, str]) -> None:
    if not draft.units.knows(rule.owner):
        place = (draft.rules, key, "owner")
        draft.report_unknown(place, "unit", rule.owner, draft.units.records, "write a unit of units.csv")
    for field, texts in (("from", rule.sources), ("to", rule.destinations), ("service", rule.services)):
        if not texts:
            draft.report(draft.rules, key, field, f"{field} is empty", "name at least one")
        for number, text in enumerate(texts):
            if text in texts[:number]:
                what = f"{field} has {shown(text)} twice"
                draft.report(draft.rules, key, field, what, "remove one of the two", number)
    for number, name in enumerate(rule.services):
        if not draft.services.knows(name):
            place = (draft.rules, key, "service")
            fix = "add it as [service.ID]"
            draft.report_unknown(place, "service", name, draft.services.records, fix, number)
    for field, texts in (("from", rule.sources), ("to", rule.destinations)):
        for number, text in enumerate(texts):
            _check_selector(draft, key, field, number, text, private)


def _check_selector(
    draft: Draft, key: str, field: str, number: int, text: str, private: dict[str, str]
) -> None:
    selector = parse_selector(text)
    if selector is None:
        _report_form(draft, key, field, number, text)
        return
    if not _exists(draft, selector):
        place = (draft.rules, key, field)
        fix = f"write {_WHERE[selector.kind]}"
        draft.report_unknown(place, str(selector.kind), selector.name, _known(draft, selector), fix, number)
        return
    if selector.kind is SelectorKind.NETWORK and field == "to":
        what = (
            f"to is {shown(text)}: a private network is no destination from another zone, for its IPv4 range is "
            "not routed outside and may exist twice, and IPv6 is treated no differently"
        )
        fix = "remove the rule: within the network everything may talk, no rule is needed"
        draft.report(draft.rules, key, field, what, fix, number)
    for node in _named_nodes(draft, selector):
        if node in private:
            what = (
                f"{field} is {shown(text)}, and {node} stands in the private network {private[node]}: outside, its "
                "IPv4 address is not its own"
            )
            fix = f"write network:{private[node]}" if field == "from" else "name nodes of the public zone"
            draft.report(draft.rules, key, field, what, fix, number)


def _named_nodes(draft: Draft, selector: Selector) -> tuple[str, ...]:
    """The nodes that a selector names one by one; wider selectors just leave out who stands elsewhere."""
    if selector.kind is SelectorKind.NODE:
        return (selector.name,)
    if selector.kind is SelectorKind.SYSTEM:
        system = draft.systems.records.get(selector.name)
        return system.nodes if system else ()
    return ()


def _report_form(draft: Draft, key: str, field: str, number: int, text: str) -> None:
    kind = text.partition(":")[0]
    if text == "management" or kind == "management":
        what = "management is no selector: what the management network opens is built into the kit"
        fix = "remove it; `jizuo policy explain` names the built-in rules"
    else:
        what = f"{field} is {shown(text)}, which is no selector"
        near = draft.suggestions.nearest(kind, [str(kind) for kind in (*ZONES, *NAMING)])
        likely = near if near in ZONES else f"{near}:{text.partition(':')[2] or 'ID'}"
        fix = f"did you mean {likely!r}? The selectors are {_FORMS}" if near else f"write one of {_FORMS}"
    draft.report(draft.rules, key, field, what, fix, number)


def _exists(draft: Draft, selector: Selector) -> bool:
    match selector.kind:
        case SelectorKind.NETWORK:
            return draft.networks.knows(selector.name)
        case SelectorKind.UNIT:
            return draft.units.knows(selector.name)
        case SelectorKind.SYSTEM:
            return draft.systems.knows(selector.name)
        case SelectorKind.SITE | SelectorKind.BELOW:
            return draft.sites.knows(selector.name)
        case SelectorKind.NODE:
            return draft.nodes.knows(selector.name)
        case SelectorKind.ROLE:
            return selector.name in set(NodeRole)
    return True


def _known(draft: Draft, selector: Selector) -> Iterable[str]:
    match selector.kind:
        case SelectorKind.NETWORK:
            return draft.networks.records
        case SelectorKind.UNIT:
            return draft.units.records
        case SelectorKind.SYSTEM:
            return draft.systems.records
        case SelectorKind.SITE | SelectorKind.BELOW:
            return draft.sites.records
        case SelectorKind.NODE:
            return draft.nodes.records
    return [role.value for role in NodeRole]
