"""What does a large policy cost? 5,000 rules compiled and loaded into a real nftables, in both families.

Run by `jizuo bench policy`, as root: the rules go into a network namespace of their own. Beside it stand the same rules
as a plain nft file without sets (a line for each pair of prefixes and each port), and Aerleon's nftables generator
where it is installed (`pip install aerleon`; it is no part of the kit).

Aerleon (github.com/aerleon/aerleon, the successor of Google's Capirca) was weighed as the compiler and is not used:
it generates both families, but always stateful rules (`ct state new` in each that accepts), which a router in one of
two planes cannot have, for it may see one direction only; terms that expire are left out by the clock of the machine
that generates, where here the kernel ends a rule; each term is a chain of its own and each address list an anonymous
set; and it says nothing of "all but these", which the internet is. Its policy language knows prefixes, so that the
selectors (systems, departments, sites) would have had to be resolved here all the same.
"""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from deploy.base.policy_rules import nft_rules
from inventories.load import load_city
from inventories.plan import AddressPlan, build_plan
from inventories.policy.lint import lint
from inventories.policy.points import EdgeRule, rules_from_zone
from inventories.policy.records import Action, Policy, PolicyRule, PolicyService
from inventories.policy.resolve import resolve
from inventories.records import City, Family, Level

RULES = 5000
TODAY = date(2027, 1, 1)
LIMIT = 2.0  # seconds, compiled and loaded
PATIENCE = 40  # seconds for a script of others
YICHUN = Path(__file__).parents[2] / "inventories" / "yichun"
#: One port, or two; some on both protocols, as DNS has them.
SERVICES = {
    f"s{number}": PolicyService(
        id=f"s{number}",
        tcp=(8000 + number, 80) if number % 2 else (8000 + number,),
        udp=(53,) if number % 7 == 0 else (),
    )
    for number in range(40)
}
HEAD = "table inet jizuo {"
CHAIN = "chain forward { type filter hook forward priority filter; policy drop;"
#: Loads a script; prints the seconds, those of the processor, and how many rules with a counter the kernel then has.
TIMED = """
import resource, subprocess, sys, time
started = time.monotonic()
subprocess.run(["nft", "-f", sys.argv[1]], check=True)
print(time.monotonic() - started)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime)
listed = subprocess.run(["nft", "-s", "list", "ruleset"], capture_output=True, text=True)
print(sum(" counter" in line for line in listed.stdout.splitlines()))
"""


def policy(city: City) -> Policy:
    """Rules as cities have them: half from everybody, half from a county, township or village, mostly to one end."""
    chosen = random.Random(3)
    access = [site for site in city.sites.values() if site.role == "access"]
    counties, townships, villages = (
        [site.id for site in access if site.level is level]
        for level in (Level.COUNTY, Level.TOWNSHIP, Level.VILLAGE)
    )
    nodes = [node.id for node in city.nodes.values() if node.role in ("cloud", "router")][:300]
    destinations = [f"system:{system.id}" for system in city.systems.values() if system.nodes]
    destinations += [f"node:{node}" for node in nodes]

    def source() -> str:
        kind = chosen.choices(["public", "county", "township", "village"], [50, 20, 20, 10])[0]
        sites = {"county": counties, "township": townships, "village": villages}
        return f"below:{chosen.choice(sites[kind])}" if kind in sites else kind

    rules = {}
    for number in range(RULES):
        few = [1] * 9 + [2]
        rules[f"r{number}"] = PolicyRule(
            id=f"r{number}",
            sources=tuple(dict.fromkeys(source() for _ in range(chosen.choice(few)))),
            destinations=tuple(chosen.sample(destinations, chosen.choice(few))),
            services=(chosen.choice(list(SERVICES)),),
            action=Action.DENY if number % 20 == 0 else Action.ALLOW,
            owner="data-bureau",
            reason="bench",
            until=date(2028, 1, 1) if number % 10 == 0 else None,
        )
    return Policy(services=SERVICES, rules=rules)


def compiled(city: City, plan: AddressPlan) -> tuple[tuple[EdgeRule, ...], str]:
    """The rules of a point that all of the policy concerns, and the nft script."""
    edge_rules = rules_from_zone(resolve(city, plan), "public")
    text = nft_rules(edge_rules)
    return edge_rules, "\n".join([HEAD, *text.declarations, CHAIN, *text.rules, "}", "}"])


def naive(edge_rules: Sequence[EdgeRule]) -> Iterator[str]:
    """The same rules without sets: a line for each pair of prefixes and each port."""
    yield HEAD
    yield CHAIN
    for rule in edge_rules:
        verdict = "accept" if rule.action is Action.ALLOW else "drop"
        for family, word in ((Family.IPV4, "ip"), (Family.IPV6, "ip6")):
            sources = [f"{word} saddr {prefix}" for prefix in rule.sources.prefixes[family]]
            for source in [""] if rule.sources.is_any else sources:
                for target in rule.destinations.prefixes[family]:
                    for first, last in rule.ports:
                        ports = f"{first}" if first == last else f"{first}-{last}"
                        yield (
                            f"{source} {word} daddr {target} {rule.protocol} dport {ports} counter {verdict} "
                            f'comment "policy:{rule.rule}"'
                        )
    yield "}\n}"


def loaded(name: str, text: str) -> float:
    """Seconds that nft takes to load a script into a network namespace of its own; prints them."""
    with TemporaryDirectory() as folder:
        script = Path(folder) / "rules.nft"
        script.write_text(text, encoding="utf-8")
        command = ["unshare", "--net", sys.executable, "-c", TIMED, str(script)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            print(f"{name:<34} not loaded within {PATIENCE} s")
            return float(PATIENCE)
    if done.returncode:
        sys.exit(f"{name}: nft refuses the script: {done.stderr[-500:]}")
    seconds, used, lines = done.stdout.split()
    print(f"{name:<34} {int(lines):>7} nft rules loaded in {float(seconds):7.2f} s, {float(used):.2f} CPU-s")
    return float(seconds)


def aerleon(edge_rules: Sequence[EdgeRule]) -> float:
    """Seconds that Aerleon takes for the same rules, prefixes ready; prints them."""
    from aerleon import api  # type: ignore[import-not-found, unused-ignore]
    from aerleon.lib import naming  # type: ignore[import-not-found, unused-ignore]

    networks: dict[str, dict[str, Any]] = {}
    tokens: dict[tuple[str, ...], str] = {}

    def token(prefixes: tuple[str, ...]) -> str:
        if prefixes not in tokens:
            tokens[prefixes] = f"N{len(tokens)}"
            networks[tokens[prefixes]] = {"values": [{"address": prefix} for prefix in prefixes]}
        return tokens[prefixes]

    terms = []
    services: dict[str, list[dict[str, str]]] = {}
    for number, rule in enumerate(edge_rules):
        name = f"P{'-'.join(f'{first}' for first, _ in rule.ports)}{rule.protocol}"
        services[name] = [
            {"protocol": rule.protocol, "port": f"{first}-{last}"} for first, last in rule.ports
        ]
        term = {
            "name": f"t{number}",
            "destination-address": token(sum(rule.destinations.prefixes.values(), ())),
            "destination-port": name,
            "protocol": rule.protocol,
            "action": "accept" if rule.action is Action.ALLOW else "deny",
            "counter": rule.rule,
        }
        if not rule.sources.is_any:
            term["source-address"] = token(sum(rule.sources.prefixes.values(), ()))
        terms.append(term)
    started = time.monotonic()
    definitions = naming.Naming()
    definitions.ParseDefinitionsObject({"networks": networks, "services": services}, "")
    source = {
        "filename": "bench",
        "filters": [{"header": {"targets": {"nftables": "mixed forward"}}, "terms": terms}],
    }
    files = api.Generate([source], definitions)
    seconds = time.monotonic() - started
    print(f"{'Aerleon, prefixes given':<34} {len(terms):>7} terms compiled in {seconds:8.2f} s")
    loaded("Aerleon", files["bench.nft"])
    return seconds


def main(arguments: Sequence[str] = ()) -> int:
    """Print what a policy of 5,000 rules costs; exit code 1 over the limit."""
    if os.geteuid() != 0:
        sys.exit("needs root: the rules are loaded into a network namespace of their own")
    city = load_city(YICHUN)
    city = msgspec.structs.replace(city, policy=policy(city))
    plan = build_plan(city)
    started, used = time.monotonic(), time.process_time()
    edge_rules, text = compiled(city, plan)
    compiling, used = time.monotonic() - started, time.process_time() - used
    sets = text.count("\nset ")
    print(f"{'jizuo':<34} {RULES:>7} rules compiled in {compiling:8.2f} s, {used:.2f} CPU-s ({sets} sets)")
    loading = loaded("jizuo", text)
    print(f"{'compiled and loaded':<34} {compiling + loading:7.2f} s of {LIMIT:.0f} s")
    plain = loaded("the same without sets", "\n".join(naive(edge_rules)))
    print(f"{'ratio of loading, plain to jizuo':<34} {plain / loading:7.2f}")
    started = time.monotonic()
    findings = lint(city, resolve(city, plan), TODAY)
    print(f"{'jizuo policy lint':<34} {len(findings):>7} findings in {time.monotonic() - started:11.2f} s")
    if importlib.util.find_spec("aerleon"):
        print(f"{'ratio of compiling, Aerleon to jizuo':<34} {aerleon(edge_rules) / compiling:5.2f}")
    else:
        print("aerleon is not installed (PyPI): no comparison")
    return int(compiling + loading > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
