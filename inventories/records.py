"""The typed records of a city: what a row of each inventory file means.

Every record is immutable and refuses unknown keys. A record checks nothing beyond the types of its
own fields; what records say of each other is held by :mod:`inventories.validate`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import msgspec

if TYPE_CHECKING:
    from inventories.backups.records import BackupPolicy, Backups
    from inventories.policy.records import Policy

#: A host name as RFC 1123 section 2.1 has it, at most 63 characters.
HostName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\Z")]
#: An identifier of the kit's own: host-name characters, so that it can stand in file, unit and metric names.
Identifier = HostName
#: A network interface's name: Linux allows 15 bytes (IFNAMSIZ less the terminator).
InterfaceName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,14}\Z")]
#: A private network's name: interface names are made of it, `lan-`, `vx-` or `to-` before it (15 bytes in all).
NetworkName = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9]([a-z0-9-]{0,9}[a-z0-9])?\Z")]
#: A statistical division code (GB/T 2260, 10114): 2, 4, 6, 9 or 12 digits.
DivisionCode = Annotated[str, msgspec.Meta(pattern=r"^([0-9]{2}|[0-9]{4}|[0-9]{6}|[0-9]{9}|[0-9]{12})\Z")]
#: Seconds; inventory files write them with a unit: 30s, 15m, 4h, 7d.
Seconds = Annotated[int, msgspec.Meta(ge=0)]


class Level(StrEnum):
    """A level of the five-level extranet (五级覆盖)."""

    PROVINCE = "province"
    CITY = "city"
    COUNTY = "county"
    TOWNSHIP = "township"
    VILLAGE = "village"


class Family(StrEnum):
    """An address family."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"


class Plane(StrEnum):
    """A plane of the extranet (一网双平面): what stands in one plane fails apart from the other."""

    A = "a"
    B = "b"
    BOTH = "both"


class SiteRole(StrEnum):
    """What a site is for."""

    PROVINCE = "province"  # where the province's own router stands, above the city core
    CORE = "core"  # the city core, one site a plane
    BORDER = "border"  # 互联网接入区: the way to the internet, and from the private zones into the public one
    ACCESS = "access"  # a division's place in the extranet: county, township, village
    CLOUD = "cloud"  # 政务云
    XINCHUANG = "xinchuang"  # 信创云
    BACKUP = "backup"
    OPERATIONS = "operations"
    OFFSITE = "offsite"  # the partner in another prefecture city


class NodeRole(StrEnum):
    """What a node does; a deploy role of the same name configures it."""

    ROUTER = "router"
    CLOUD = "cloud"
    BACKUP = "backup"
    OFFSITE = "offsite"
    OPERATIONS = "operations"
    AGENT = "agent"  # 县级监测节点: watches its county from within, and writes to the city
    CLIENT = "client"


#: Roles of hosts that stand on the LAN of an access site, behind its router.
ON_A_LAN = frozenset({NodeRole.AGENT, NodeRole.CLIENT})


class OperatingSystemFamily(StrEnum):
    """The package family of a node's operating system."""

    DEBIAN = "debian"  # apt: Debian, UOS d
    DNF = "dnf"  # openEuler, Kylin, UOS e and a, Anolis
    VRP = "vrp"  # Huawei's routers: no Linux, configured over their own command line
    COMWARE = "comware"  # H3C's routers, likewise


#: Operating systems of routers that are no Linux: they are configured over their own command line.
NO_LINUX = frozenset({OperatingSystemFamily.VRP, OperatingSystemFamily.COMWARE})


class Architecture(StrEnum):
    """A node's machine as `uname -m` says it."""

    X86_64 = "x86_64"
    AARCH64 = "aarch64"
    LOONGARCH64 = "loongarch64"
    SW_64 = "sw_64"


class Cloud(StrEnum):
    """On which cloud a node or system stands."""

    NONE = "none"
    GOVERNMENT = "government"  # 政务云
    XINCHUANG = "xinchuang"  # 信创云


class LinkKind(StrEnum):
    """What a link joins."""

    CORE = "core"  # the city core's planes
    UPLINK = "uplink"  # b's way up to a: /31 and /127, routed
    SERVER = "server"  # a server (b) that is routed by a core router (a): /31 and /127
    ACCESS = "access"  # a host (b) on the LAN of a's site: no addresses of its own


class HostedBy(StrEnum):
    """Who runs a system."""

    CITY = "city"
    DEPARTMENT = "department"  # a city department in a machine room of its own
    PROVINCE = "province"
    NATION = "nation"
    OPERATOR = "operator"  # a telecommunications operator
    NOBODY = "nobody"  # a list, a standard, a mechanism: there is nothing to run


class NetworkZone(StrEnum):
    """On which network a system stands; the extranet's zones are those of the national specification."""

    PUBLIC = "public"  # 公用网络区
    PRIVATE = "private"  # 专用网络区, a VPN for the department
    INTERNET = "internet"  # 互联网接入区
    POLICE = "police"  # 公安网: not on the extranet
    OTHER = "other"  # another network that is not the extranet
    NONE = "none"  # no endpoint


class Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of every record."""


class Division(Record, frozen=True, gc=False):
    """A division of the country as the national statistics have it (file `divisions.csv`)."""

    code: DivisionCode
    name: str
    level: Level
    parent: str = ""


class Unit(Record, frozen=True):
    """A responsible unit (责任单位; file `units.csv`).

    `network_of` is the division whose part of the extranet it answers for, with what stands there and belongs to no
    system: a county's own unit, a township's, or that of the whole city.
    """

    id: Identifier
    name: str
    network_of: str = ""


class Site(Record, frozen=True, gc=False):
    """A place in the extranet (file `sites.csv`).

    `level` is the site's level in the extranet, which differs from its division's for the functional
    zones; `parent` is the site above it in the tree of addresses, empty for the sites of the city itself.
    """

    id: Identifier
    division: DivisionCode
    level: Level
    role: SiteRole = SiteRole.ACCESS
    plane: Plane = Plane.BOTH
    parent: str = ""


class Node(Record, frozen=True, gc=False):
    """A host or router (file `nodes.csv`); it is expected to answer over `families`, over both where none is named."""

    id: HostName
    site: Identifier
    role: NodeRole
    name: str = ""
    os_family: OperatingSystemFamily = OperatingSystemFamily.DEBIAN
    architecture: Architecture = Architecture.X86_64
    cloud: Cloud = Cloud.NONE
    families: tuple[Family, ...] = ()


class PrivateNetwork(Record, frozen=True):
    """A department's own network on the extranet (专用网络区, file `private-networks.csv`): a routing table of its own.

    `vni` is the VXLAN network identifier (RFC 7348, 24 bits) that carries it between routers. `ipv4` and `ipv6`
    are the network's own prefixes, as the department brings them: two networks may have the same IPv4 range. Each site
    where the network has a LAN takes a part of them, of `lan4` bits in IPv4 and of 64 in IPv6.
    """

    id: NetworkName
    unit: Identifier
    vni: Annotated[int, msgspec.Meta(ge=1, le=16777215)]
    ipv4: str
    ipv6: str
    lan4: Annotated[int, msgspec.Meta(ge=8, le=29)] = 28
    name: str = ""


class Link(Record, frozen=True, gc=False):
    """A link between two nodes (file `links.csv`); its id is the interface's name at both ends.

    An access link whose `network` names a private network puts its host there, not on the site's public LAN.
    """

    id: InterfaceName
    a: HostName
    b: HostName
    kind: LinkKind = LinkKind.UPLINK
    plane: Plane = Plane.BOTH
    network: str = ""


class System(Record, frozen=True):
    """A system, platform, database, network or mechanism that the plan names (file `systems.csv`).

    `endpoints` are URLs whose host is a node's id, `http://cloud-1:80/path`, `tcp://cloud-1:5432`,
    `tls://cloud-1:853`, `dns://ops-1/yichun.example` or `icmp://core-a`, or for what stands elsewhere its DNS
    name, `https://service.example/`. Each is probed in `families`, in both where none is named: what is not
    deployed in a family yet is not broken there.
    `mlps` is the level of GB/T 22239, 0 where none applies; `rpo` and `rto` are 0 where none is set.
    """

    id: Identifier
    name: str
    section: str
    owners: tuple[str, ...]
    kind: str
    target: str = ""
    hosted_by: HostedBy = HostedBy.NOBODY
    network: NetworkZone = NetworkZone.NONE
    cloud: Cloud = Cloud.NONE
    mlps: Annotated[int, msgspec.Meta(ge=0, le=5)] = 0
    nodes: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    rpo: Seconds = 0
    rto: Seconds = 0
    families: tuple[Family, ...] = ()


class Ipv6Layout(Record, frozen=True):
    """The city's IPv6 prefix and the prefix length of each level, in bits."""

    prefix: str
    county: int = 40
    township: int = 48
    village: int = 56
    lan: int = 64


class Ipv4Layout(Record, frozen=True):
    """The city's IPv4 prefix and the prefix lengths within it, in bits.

    A county takes `county` bits, or what `county_sizes` says for its site; a quarter of it is
    infrastructure (loopbacks, links), the rest is handed out in blocks of `block` bits to the townships,
    whose LANs take `lan` bits each. The sites of the city itself have LANs of `city_lan` bits.
    """

    prefix: str
    county: int = 19
    block: int = 26
    lan: int = 28
    city_lan: int = 25
    county_sizes: dict[str, int] = {}


class Management(Record, frozen=True):
    """The management network, out of band: one prefix of each family, every node has an address in both."""

    ipv4: str
    ipv6: str


class Partner(Record, frozen=True):
    """The prefixes of a neighbour, an input that is not planned here: the province, or another prefecture city.

    `asn` is the AS number of the neighbour's router, 0 where it has none (a server of the off-site partner).
    """

    ipv4: str
    ipv6: str
    asn: Annotated[int, msgspec.Meta(ge=0, le=4294967294)] = 0


class Internet(Record, frozen=True):
    """The segment between the border router and the internet's provider: an input, not planned here.

    `new_connections` is how many connections a second one source of the internet may begin, on average.
    """

    ipv4: str
    ipv6: str
    new_connections: Annotated[int, msgspec.Meta(ge=1, le=1000000)] = 50


class Province(Record, frozen=True):
    """Where the city writes its sums to, by Prometheus's remote write, and who it is there (`[monitoring.province]`).

    The authority of the receiver's certificate and the city's password are the province's to give; they stand in the
    controller's secret store.
    """

    url: Annotated[str, msgspec.Meta(pattern=r"^https://[^\s/]+/\S*\Z")]
    user: Annotated[str, msgspec.Meta(min_length=1)]


class Monitoring(Record, frozen=True):
    """How closely the city is watched.

    `interval` lies between two scrapes, and two evaluations of the rules; probes go out every second one. How
    long an alert waits before it fires is written for 15 s (`exporters/rules`) and goes with it. `history` is for
    how many months of 31 days the city's long storage keeps samples: a year to compare with the year before, and its
    audit; never less than the year that the status page shows. `province` takes the city's sums; with `federation` it
    may also log in and read them itself.
    """

    interval: Annotated[int, msgspec.Meta(ge=1, le=300)] = 15
    history: Annotated[int, msgspec.Meta(ge=13, le=120)] = 25
    province: Province | None = None
    federation: bool = False


class Layout(Record, frozen=True):
    """The city as a whole (file `city.toml`).

    `partners` are keyed by division code, the province's among them; `domain` is the zone of the hosts' names;
    `asn` the first of the private AS numbers (RFC 6996) that routers take; `time_zone` an IANA name.
    """

    name: str
    division: DivisionCode
    domain: str
    ipv6: Ipv6Layout
    ipv4: Ipv4Layout
    management: Management
    partners: dict[str, Partner] = {}
    internet: Internet | None = None
    monitoring: Monitoring = Monitoring()
    asn: Annotated[int, msgspec.Meta(ge=4200000000, le=4294967294)] = 4200000000
    time_zone: str = "Asia/Shanghai"


#: Which slot of a pool each member has: pool -> member -> slot (file `allocations.csv`, append-only).
Allocations = dict[str, dict[str, int]]


class City(Record, frozen=True):
    """All that one inventory folder says; each mapping is keyed by the record's id, in the file's order."""

    layout: Layout
    divisions: dict[str, Division]
    sites: dict[str, Site]
    nodes: dict[str, Node]
    links: dict[str, Link]
    units: dict[str, Unit] = {}
    systems: dict[str, System] = {}
    backups: dict[str, BackupPolicy] = {}
    #: Where backups stand, and which systems have none, and why; None where nobody wrote `backups.toml`.
    backup_places: Backups | None = None
    networks: dict[str, PrivateNetwork] = {}
    #: Who may reach what; None where nobody wrote it: nothing but the kit's own services then.
    policy: Policy | None = None
    allocations: Allocations = {}
