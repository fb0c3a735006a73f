"""No edit moves an address: random sequences of edits against the plan, slots carried over as the file would."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inventories.allocation import PlanError
from inventories.load import load_city
from inventories.plan import AddressPlan
from inventories.records import Family, Ipv4Layout, Ipv6Layout, Layout, Level, LinkKind, Management, NodeRole

from .editing import Editor, Places, places

SMALL = Path(__file__).parent / "small_city"

#: A layout so tight that pools run full in a few edits: what finds no room must leave the rest alone too.
TIGHT = Layout(
    name="宜春市",
    division="3609",
    domain="yichun.example",
    ipv6=Ipv6Layout(prefix="2001:db8::/32", county=35, township=38, village=41),
    ipv4=Ipv4Layout(
        prefix="198.18.0.0/21", county=25, block=28, lan=29, city_lan=27, county_sizes={"3609": 22}
    ),
    management=Management(ipv4="198.19.240.0/26", ipv6="2001:db8:e000::/64"),
    partners=load_city(SMALL).layout.partners,
    internet=load_city(SMALL).layout.internet,
)


class Edits(RuleBasedStateMachine):
    """Edits of a small city; what stood in any plan before stands there still, or comes back to its place."""

    layout: Layout | None = None

    def __init__(self) -> None:
        super().__init__()
        self.editor = Editor(load_city(SMALL))
        if self.layout is not None:
            self.editor.layout = self.layout
        self.editor.allocations = {}
        self.ever: Places = {}
        self.plan: AddressPlan | None = None
        self.serial = 0

    @initialize()
    def first(self) -> None:
        self.settle()

    def settle(self) -> None:
        """Plan and allocate; an edit for which there is no room is taken back, as its author would."""
        try:
            self.plan = self.editor.allocate()
        except PlanError as error:
            assert all("level" in problem and "(" in problem for problem in error.problems), error
            self.undo()
            self.plan = self.editor.allocate()
            assert self.plan.new_allocations == {}
        for key, value in places(self.plan).items():
            assert self.ever.setdefault(key, value) == value, key

    def remember(self) -> None:
        editor = self.editor
        self.before = (dict(editor.divisions), dict(editor.sites), dict(editor.nodes), dict(editor.links))

    def undo(self) -> None:
        editor = self.editor
        editor.divisions, editor.sites, editor.nodes, editor.links = self.before

    def sites(self, *levels: Level) -> list[str]:
        return sorted(site.id for site in self.editor.sites.values() if site.level in levels)

    def router(self, site: str) -> str:
        routers = [node for node in self.editor.nodes.values() if node.role is NodeRole.ROUTER]
        return next((node.id for node in routers if node.site == site), routers[0].id)

    @rule()
    def add_county(self) -> None:
        self.remember()
        self.serial += 1
        self.editor.add(f"3610{self.serial:02}", Level.COUNTY, above=self.router("core-a"))
        self.settle()

    @precondition(lambda self: self.sites(Level.COUNTY))
    @rule(data=st.data())
    def add_township(self, data: st.DataObject) -> None:
        self.remember()
        self.serial += 1
        county = data.draw(st.sampled_from(self.sites(Level.COUNTY)))
        self.editor.add(f"{county[:6]}{self.serial:03}", Level.TOWNSHIP, county, self.router(county))
        self.settle()

    @precondition(lambda self: self.sites(Level.COUNTY))
    @rule(data=st.data(), several=st.integers(1, 4))
    def add_villages(self, data: st.DataObject, several: int) -> None:
        self.remember()
        parent = data.draw(st.sampled_from(self.sites(Level.COUNTY, Level.TOWNSHIP)))
        for _ in range(several):
            self.serial += 1
            self.editor.add(f"{parent:0<9}{self.serial:03}", Level.VILLAGE, parent, self.router(parent))
        self.settle()

    @rule(data=st.data())
    def add_client(self, data: st.DataObject) -> None:
        self.remember()
        self.serial += 1
        self.editor.add_client(
            f"client-{self.serial}x", data.draw(st.sampled_from(sorted(self.editor.sites)))
        )
        self.settle()

    @rule(data=st.data())
    def add_link(self, data: st.DataObject) -> None:
        self.remember()
        self.serial += 1
        a, b = data.draw(st.permutations(sorted(self.editor.nodes)))[:2]
        kind = data.draw(st.sampled_from([LinkKind.CORE, LinkKind.UPLINK, LinkKind.SERVER]))
        self.editor.add_link(f"l{self.serial}", a, b, kind)
        self.settle()

    @precondition(lambda self: self.sites(Level.COUNTY, Level.TOWNSHIP, Level.VILLAGE))
    @rule(data=st.data())
    def remove_site(self, data: st.DataObject) -> None:
        self.editor.remove_site(
            data.draw(st.sampled_from(self.sites(Level.COUNTY, Level.TOWNSHIP, Level.VILLAGE)))
        )
        self.settle()

    @rule(data=st.data())
    def remove_and_add_again(self, data: st.DataObject) -> None:
        """What comes back takes its old place, as the file still has it."""
        self.remember()
        node = self.editor.nodes[data.draw(st.sampled_from(sorted(self.editor.nodes)))]
        links = {link.id: link for link in self.editor.links.values() if node.id in (link.a, link.b)}
        self.editor.remove_node(node.id)
        self.settle()
        self.editor.nodes[node.id] = node
        self.editor.links |= links
        self.settle()

    @rule(data=st.data())
    def remove_link(self, data: st.DataObject) -> None:
        if self.editor.links:
            del self.editor.links[data.draw(st.sampled_from(sorted(self.editor.links)))]
        self.settle()

    @rule(data=st.data())
    def rename_division(self, data: st.DataObject) -> None:
        self.editor.rename(data.draw(st.sampled_from(sorted(self.editor.divisions))), f"新名{self.serial}")
        self.settle()

    @rule(data=st.data())
    def rename_node(self, data: st.DataObject) -> None:
        """A node under a new id is a new node; nothing else moves."""
        self.remember()
        self.serial += 1
        old = data.draw(st.sampled_from(sorted(self.editor.nodes)))
        new = f"n{self.serial}x"
        self.editor.nodes[new] = msgspec.structs.replace(self.editor.nodes.pop(old), id=new)
        for link in list(self.editor.links.values()):
            ends = {"a": new if link.a == old else link.a, "b": new if link.b == old else link.b}
            self.editor.links[link.id] = msgspec.structs.replace(link, **ends)
        self.settle()

    @rule(data=st.data())
    def shuffle_rows(self, data: st.DataObject) -> None:
        ids = [*self.editor.sites, *self.editor.nodes, *self.editor.links, *self.editor.divisions]
        order = data.draw(st.randoms(use_true_random=False))
        self.editor.shuffle({name: order.randrange(1000) for name in ids})
        self.settle()

    @invariant()
    def nothing_is_given_twice(self) -> None:
        if self.plan is None:
            return
        rows = [row.address for row in self.plan.addresses()]
        assert len(rows) == len(set(rows))
        private = [(row.network, row.address) for row in self.plan.private_addresses()]
        assert len(private) == len(set(private))
        for family in Family:
            lans = sorted(
                (lan.first, lan.last)
                for lan in (self.plan.lan(site, family) for site in self.plan.city.sites)
            )
            for (_, last), (first, _) in pairwise(lans):
                assert last < first


class TightEdits(Edits):
    """The same where pools run full."""

    layout = TIGHT


FEW = settings(
    max_examples=25,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
TestEdits = Edits.TestCase
TestEdits.settings = FEW
TestTightEdits = TightEdits.TestCase
TestTightEdits.settings = FEW
