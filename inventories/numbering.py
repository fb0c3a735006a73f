"""Which numbers has each site, node and link of a city? Slots from the pools, laid out as the geometry says.

All of it is integers: a city of some thousand sites is numbered in hundredths of a second, and the whole
country in seconds. :mod:`inventories.plan` gives the numbers a public face.
"""

from __future__ import annotations

from collections.abc import Mapping

from inventories.allocation import Ledger, PlanError, Pool
from inventories.blocks import CITY, place_blocks
from inventories.geometry import POOL, Block, Geometry, Span
from inventories.private_numbering import (
    border_of,
    crossing_link,
    number_private_network,
    private_lan,
)
from inventories.records import City, Family, Level, Link, LinkKind, NodeRole, Site, SiteRole

#: The first slot of a county's townships: 0 is its infrastructure, 1 its own site and the villages directly
#: below it.
FIRST_TOWNSHIP = 2
#: The first slot of a LAN's hosts: 0 is the LAN's own address and 1 its gateway.
FIRST_HOST = 2


class Numbers:
    """The numbers of a city's things, each by the thing's id.

    `site6` is the first address of a site's IPv6 prefix (with everything below the site), `lan6` and `lan4`
    those of its LAN; `lan4_bits` the LAN's IPv4 prefix length where it is not that of an access site.
    `blocks` are a group's IPv4 blocks by their number in the group: a group is a township-level site with its
    villages, or a county-level site with the villages directly below it. `owner` is the county-level site, or
    `@city`, that a site belongs to. `loopback`, `link`, `host` and `management` are slots.

    A host of a private network stands on a LAN of its own, which `lan_of` names `NETWORK-SITE`; `private` holds
    each network's sites with their slots. The router of a neighbour (the province) has an address of the
    neighbour's own prefix, as a host there.
    """

    def __init__(self, city: City) -> None:
        """Number the city.

        Raises:
            PlanError: with every reason why it cannot be done.
        """
        self.city = city
        self.geometry = Geometry(city.layout)
        self.ledger = Ledger(city.allocations, {code: row.name for code, row in city.divisions.items()})
        self.site6: dict[str, int] = {}
        self.lan6: dict[str, int] = {}
        self.lan4: dict[str, int] = {}
        self.lan4_bits: dict[str, int] = {}
        self.owner: dict[str, str] = {}
        self.group: dict[str, str] = {}
        self.infrastructure6: dict[str, int] = {CITY: self.geometry.city6.base}
        self.county4: dict[str, Block] = {}
        self.blocks: dict[str, dict[int, int]] = {}
        self.loopback: dict[str, int] = {}
        self.link: dict[str, int] = {}
        self.link_owner: dict[str, str] = {}
        self.host: dict[str, int] = {}
        self.management: dict[str, int] = {}
        self.lan_of: dict[str, str] = {}
        self.private: dict[str, Mapping[str, int]] = {}
        self.border = border_of(city)

        self.children: dict[str, list[str]] = {}
        self.counties: list[str] = []
        self.city_sites: list[str] = []
        self.partner_sites: list[str] = []
        self.border_sites: list[str] = []
        self._sort_sites()
        self._raise()
        self._number_counties()
        self._raise()
        for county in self.counties:
            self._number_below(county)
        self._number_city_sites()
        self._number_private_networks()
        self._number_nodes()
        self._number_links()
        self._raise()

    def site6_bits(self, site_id: str) -> int:
        """Answer the length of a site's IPv6 prefix."""
        layout, site = self.city.layout, self.city.sites[site_id]
        if site.role == SiteRole.BORDER and self.geometry.internet is not None:
            return self.geometry.internet[0].bits
        if site_id in self.lan4_bits:
            ipv6, _ = self.geometry.partners.get(site.division, (None, None))
            return ipv6.bits if ipv6 and site.division != layout.division else layout.ipv6.township
        if site_id in self.infrastructure6:
            return layout.ipv6.county
        return layout.ipv6.township if self.group[site_id] == site_id else layout.ipv6.village

    def loopback_address(self, node_id: str, family: Family) -> int:
        """Answer a router's loopback; a neighbour's router has an address of the neighbour's own instead."""
        if node_id not in self.loopback:
            return self.host_address(node_id, family)
        owner = self.owner[self.city.nodes[node_id].site]
        slot = self.loopback[node_id]
        return slot + (self.infrastructure6[owner] if family == Family.IPV6 else self.county4[owner].base)

    def link_base(self, link_id: str, family: Family) -> int:
        """Answer the lower address of a routed link."""
        owner, slot = self.link_owner[link_id], self.link[link_id]
        if family == Family.IPV6:
            return self.infrastructure6[owner] + (1 << (128 - POOL)) + 2 * slot
        return self.county4[owner].links + 2 * slot

    def host_address(self, node_id: str, family: Family) -> int:
        """Answer the address of a node that is not a router on its site's LAN."""
        lan = self.lan_of[node_id]
        return self.host[node_id] + (self.lan6[lan] if family == Family.IPV6 else self.lan4[lan])

    def _raise(self) -> None:
        if self.ledger.problems:
            raise PlanError(self.ledger.problems)

    def _sort_sites(self) -> None:
        """Tell sites of the city, of partners, of counties and what lies below these apart."""
        problems = self.ledger.problems
        sites, layout = self.city.sites, self.city.layout
        for site in sites.values():
            if site.parent:
                if site.parent not in sites:
                    problems.append(
                        f"sites.csv: {site.id}: there is no parent site {site.parent}; name one that is"
                    )
                self.children.setdefault(site.parent, []).append(site.id)
            elif site.level == Level.COUNTY:
                self.counties.append(site.id)
            elif site.role == SiteRole.BORDER:
                self.border_sites.append(site.id)
            elif site.division == layout.division:
                self.city_sites.append(site.id)
            elif site.division in layout.partners:
                self.partner_sites.append(site.id)
            else:
                problems.append(
                    f"sites.csv: {site.id} ({site.level} level) has no parent and its division "
                    f"{site.division} is neither {layout.division} nor a partner; add "
                    f"[partners.{site.division}] to city.toml or set its parent"
                )

    def _number_counties(self) -> None:
        """Give each county-level site and the city itself an IPv6 prefix and an IPv4 block."""
        geometry, layout = self.geometry, self.city.layout
        shift = geometry.county6
        taken: set[int] = set()
        if geometry.city6.overlaps(geometry.management6):
            first = (geometry.management6.base - geometry.city6.base) >> shift
            last = (geometry.management6.base + geometry.management6.size - 1 - geometry.city6.base) >> shift
            taken = set(range(first, last + 1))
        if 0 in taken:
            self.ledger.problems.append(
                f"city.toml: [management] ipv6 {layout.management.ipv6} overlaps the city's infrastructure, "
                f"slot 0 of {layout.name} ({layout.division}) at the city level; choose the last "
                f"/{layout.ipv6.county} instead"
            )
        pool = Pool(
            layout.division, 1, geometry.counties, Level.CITY, layout.division,
            f"IPv6 prefixes (/{layout.ipv6.county}) of counties",
            f"shorten [ipv6] prefix (now {layout.ipv6.prefix}) and keep its first address, which renumbers "
            "nothing",
            frozenset(taken),
        )  # fmt: skip
        slots = self.ledger.slots(pool, [CITY, *self.counties])
        for county in (CITY, *self.counties):
            self.site6[county] = geometry.city6.base + (slots[county] << shift)
            if county != CITY:
                self.infrastructure6[county] = self.site6[county]
        self.county4 = place_blocks(self.ledger, geometry, [CITY, *self.counties])

    def _number_below(self, county: str) -> None:
        """Number a county-level site, its townships and the villages directly below it."""
        geometry, sites, layout = self.geometry, self.city.sites, self.city.layout
        base, code = self.site6[county], sites[county].division
        own = base + (1 << geometry.township6)
        self.lan6[county] = own
        self.owner[county] = county
        townships: list[str] = []
        direct: list[str] = []
        for child in self.children.get(county, ()):
            (townships if sites[child].level == Level.TOWNSHIP else direct).append(child)
        township_slots = self.ledger.slots(
            Pool(
                county, FIRST_TOWNSHIP, geometry.townships, Level.COUNTY, code,
                f"IPv6 prefixes (/{layout.ipv6.township}) of townships",
                "more need a shorter [ipv6] county or a longer township, which renumbers the city",
            ),
            townships,
        )  # fmt: skip
        groups = {county: direct}
        self._number_villages(f"{county}/direct", county, own, direct, county)
        for township in townships:
            prefix = base + (township_slots[township] << geometry.township6)
            self.site6[township] = self.lan6[township] = prefix
            self.owner[township] = county
            groups[township] = self.children.get(township, [])
            self._number_villages(township, township, prefix, groups[township], county)
        self._number_lans4(county, groups)

    def _number_villages(self, pool: str, parent: str, prefix: int, villages: list[str], county: str) -> None:
        geometry, layout = self.geometry, self.city.layout
        site = self.city.sites[parent]
        slots = self.ledger.slots(
            Pool(
                pool, 1, geometry.villages, site.level, site.division,
                f"IPv6 prefixes (/{layout.ipv6.village}) of villages",
                "more need a shorter [ipv6] township or a longer village, which renumbers the city",
            ),
            villages,
        )  # fmt: skip
        for village in villages:
            self.site6[village] = self.lan6[village] = prefix + (slots[village] << geometry.village6)
            self.owner[village] = county
            if village in self.children:
                self.ledger.problems.append(
                    f"sites.csv: {', '.join(self.children[village])}: the parent {village} is at the village "
                    "level, below which nothing is; set the township as parent"
                )

    def _number_lans4(self, county: str, groups: Mapping[str, list[str]]) -> None:
        """Give every group of a county its IPv4 blocks, and every site of the group its LAN."""
        geometry, layout, block = self.geometry, self.city.layout, self.county4[county]
        per_block, size = geometry.lans_per_block, geometry.lan4
        lans = self._lan_slots(county, groups)
        wanted = {
            group: sorted({slots[site] // per_block for site in (group, *groups[group])})
            for group, slots in lans.items()
        }
        places = self.ledger.slots(
            Pool(
                f"{county}/block", 0, block.site_slots(layout.ipv4.block), Level.COUNTY,
                self.city.sites[county].division, f"IPv4 blocks (/{layout.ipv4.block})",
                f"give {county} a larger block in [ipv4.county_sizes] (now /{block.bits}), which renumbers "
                "this county",
            ),
            [f"{group}#{number}" for group, numbers in wanted.items() for number in numbers],
        )  # fmt: skip
        for group, slots in lans.items():
            bases = {
                number: block.sites + places[f"{group}#{number}"] * per_block * size
                for number in wanted[group]
            }
            self.blocks[group] = bases
            for member in (group, *groups[group]):
                number, offset = divmod(slots[member], per_block)
                self.lan4[member] = bases[number] + offset * size
                self.group[member] = group

    def _lan_slots(self, county: str, groups: Mapping[str, list[str]]) -> dict[str, Mapping[str, int]]:
        """Answer the LAN slots of each group: in the blocks it has, and in another when these are full."""
        per_block = self.geometry.lans_per_block
        opened = self._opened_blocks(county)
        lans: dict[str, Mapping[str, int]] = {}
        for group, villages in groups.items():
            name, members, site = f"{group}/lan4", [group, *villages], self.city.sites[group]
            known = self.ledger.held(name)
            named = max((slot // per_block + 1 for slot in known.values()), default=0)
            room = max(opened.get(group, 0), named) * per_block
            missing = sum(member not in known for member in members)
            room += max(0, -(-(missing - room + len(known)) // per_block)) * per_block
            pool = Pool(name, 0, room, site.level, site.division, "IPv4 LANs", "")
            lans[group] = self.ledger.slots(pool, members)
        return lans

    def _opened_blocks(self, county: str) -> dict[str, int]:
        """Answer how many IPv4 blocks each group has by the file."""
        opened: dict[str, int] = {}
        for member in self.ledger.held(f"{county}/block"):
            group, mark, index = member.rpartition("#")
            if mark and index.isdecimal():
                opened[group] = max(opened.get(group, 0), int(index) + 1)
            else:
                self.ledger.problems.append(
                    f"allocations.csv: pool {county}/block: {member} is no block of a group; write it as "
                    "GROUP#NUMBER, or delete the line and run jizuo plan PATH --allocate"
                )
        return opened

    def _number_city_sites(self) -> None:
        geometry, layout = self.geometry, self.city.layout
        block = self.county4[CITY]
        rooms4, rooms6 = block.site_slots(layout.ipv4.city_lan) + 1, geometry.townships
        remedy = f"give the city a larger block: [ipv4.county_sizes] {layout.division} (now /{block.bits})"
        if rooms6 < rooms4:
            remedy = "more need a shorter [ipv6] county or a longer township, which renumbers the city"
        slots = self.ledger.slots(
            Pool(
                CITY, 1, min(rooms4, rooms6), Level.CITY, layout.division,
                f"sites of the city itself (/{layout.ipv6.township} and /{layout.ipv4.city_lan})",
                remedy,
            ),
            self.city_sites,
        )  # fmt: skip
        for site in self.city_sites:
            self.owner[site] = CITY
            self.site6[site] = self.lan6[site] = self.site6[CITY] + (slots[site] << geometry.township6)
            self.lan4[site] = block.sites + (slots[site] - 1) * geometry.city_lan4
            self.lan4_bits[site] = layout.ipv4.city_lan
        for site in self.partner_sites:
            ipv6, ipv4 = geometry.partners[self.city.sites[site].division]
            self._take_prefix(site, ipv6, ipv4)
        for site in self.border_sites:
            if geometry.internet is None:
                self.ledger.problems.append(f"city.toml: [internet] is missing; site {site} leads there")
            else:
                self._take_prefix(site, *geometry.internet)

    def _take_prefix(self, site: str, ipv6: Span, ipv4: Span) -> None:
        """Give a site a prefix that is not the city's: a partner's, or the segment to the internet."""
        self.owner[site] = CITY
        self.site6[site] = self.lan6[site] = ipv6.base
        self.lan4[site] = ipv4.base
        self.lan4_bits[site] = ipv4.bits

    def _number_private_networks(self) -> None:
        for network in self.city.networks.values():
            lans = number_private_network(self.city, network, self.border, self.ledger)
            self.private[network.id] = {lan.site: lan.slot for lan in lans}
            for lan in lans:
                name = private_lan(network.id, lan.site)
                self.lan6[name], self.lan4[name] = lan.base6, lan.base4
                self.lan4_bits[name] = network.lan4

    def _number_nodes(self) -> None:
        """Give routers loopbacks, other nodes their place on the site's LAN, and all a management address."""
        layout, sites = self.city.layout, self.city.sites
        routers: dict[str, list[str]] = {}
        hosts: dict[str, list[str]] = {}
        network_of = {link.b: link.network for link in self.city.links.values() if link.network}
        for node in self.city.nodes.values():
            if node.site not in self.owner:
                self.ledger.problems.append(
                    f"nodes.csv: {node.id}: there is no site {node.site}; name one that is"
                )
            elif node.role == NodeRole.ROUTER and sites[node.site].role != SiteRole.PROVINCE:
                routers.setdefault(self.owner[node.site], []).append(node.id)
            else:
                network = network_of.get(node.id, "")
                lan = private_lan(network, node.site) if network in self.private else node.site
                self.lan_of[node.id] = lan
                hosts.setdefault(lan, []).append(node.id)
        for owner, members in routers.items():
            loopbacks = self.county4[owner].loopbacks
            pool = self._county_pool(owner, "loopback", loopbacks.size, "loopbacks of routers")
            slots = self.ledger.slots(pool, members)
            self.loopback.update({member: slots[member] for member in members})
        for lan, members in hosts.items():
            size = 1 << (32 - self.lan4_bits.get(lan, layout.ipv4.lan))
            site = sites[self.city.nodes[members[0]].site]
            pool = Pool(
                f"{lan}/host", FIRST_HOST, size - 1, site.level, site.division,
                f"IPv4 hosts on the LAN of site {lan}", "split the hosts over more sites, or shorten [ipv4] "
                f"{'city_lan' if lan in self.lan4_bits else 'lan'}, which renumbers the city",
            )  # fmt: skip
            slots = self.ledger.slots(pool, members)
            self.host.update({member: slots[member] for member in members})
        self.management = dict(self.ledger.slots(
            Pool(
                "management", 1, self.geometry.management4.size - 1, Level.CITY, layout.division,
                "IPv4 management addresses",
                f"shorten [management] ipv4 (now {layout.management.ipv4}) and keep its first address, which "
                "renumbers nothing",
            ),
            self.city.nodes,
        ))  # fmt: skip

    def _number_links(self) -> None:
        """Give every routed link a /127 and a /31 from the infrastructure of its upper end."""
        nodes = self.city.nodes
        links: dict[str, list[str]] = {}
        for link in self.city.links.values():
            if link.kind == LinkKind.ACCESS:
                continue
            owner = self._upper_owner(link)
            if owner is None or link.b not in nodes:
                self.ledger.problems.append(
                    f"links.csv: {link.id}: there is no node {link.b if owner else link.a}; name one that is"
                )
                continue
            self.link_owner[link.id] = owner
            links.setdefault(owner, []).append(link.id)
        if self.border:
            for network in self.private:
                self.link_owner[crossing_link(network)] = CITY
                links.setdefault(CITY, []).append(crossing_link(network))
        for owner, members in links.items():
            pool = self._county_pool(owner, "link", self.county4[owner].link_slots, "links")
            slots = self.ledger.slots(pool, members)
            self.link.update({member: slots[member] for member in members})

    def _upper_owner(self, link: Link) -> str | None:
        node = self.city.nodes.get(link.a)
        return self.owner.get(node.site) if node else None

    def _county_pool(self, owner: str, kind: str, size: int, resource: str) -> Pool:
        site: Site | None = self.city.sites.get(owner)
        layout = self.city.layout
        key = owner if site else layout.division
        return Pool(
            f"{owner}/{kind}", 1, size, site.level if site else Level.CITY,
            site.division if site else layout.division, f"IPv4 {resource}",
            f"give {key} a larger block in [ipv4.county_sizes] (now /{self.county4[owner].bits}), which "
            "renumbers it",
        )  # fmt: skip
