"""What is drawn of a whole city, and what of one county? Each is a scene, ready to be written as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from inventories.picture.board import LEFT, MARGINS, RIGHT, Board, Sources
from inventories.picture.cards import Painter, Placed, stroke
from inventories.picture.content import Card, Content, network_style
from inventories.picture.shapes import Dot, Group, Path, Rect, Scene, Shape, Text, text_width, wrap_parts
from inventories.picture.style import ALARM, INK, PAPER, PLANE_WORDS, SOFT, WIDTH
from inventories.plan import AddressPlan
from inventories.records import City, Family, Level, Link, NodeRole, Plane, Site, SiteRole
from inventories.tree import place_name

#: A city of so many sites and clients at most is drawn whole, down to villages and hosts.
_WHOLE = 60
#: A county of so many villages at most shows the addresses of each.
_WITH_ADDRESSES = 240
#: The city's own sites below the core, in the order in which they stand.
_SERVICES = (
    SiteRole.CLOUD,
    SiteRole.XINCHUANG,
    SiteRole.BACKUP,
    SiteRole.OPERATIONS,
    SiteRole.BORDER,
    SiteRole.OFFSITE,
)


def city_picture(city: City, plan: AddressPlan) -> Scene:
    """The whole city: a small one down to villages and hosts, a large one with townships in short."""
    content = Content(city, plan)
    whole = _is_small(city)
    board = Board(_painter(city))
    title = f"{city.layout.name}电子政务外网拓扑"
    board.heading(title, [content.counted()])
    _legend(board, hosts=whole, counts=not whole)
    cores = _core(board, content, details=True)
    services = [card for role in _SERVICES for card in content.service_cards(role, details=whole)]
    counties = [content.county_card(site, whole) for site in content.counties()]
    sources = _margins(board, cores, [*services, *counties])
    if services:
        sources = board.rows("市级", services, sources)
    if counties:
        count = min(len(counties), 3 if whole else 4)
        label = "县级、乡级、村级" if whole else "县级、乡级（数字为村数）"
        board.columns(label, counties, count, sources)
    _networks(board, content.network_cards())
    return board.scene(title, content.counted())


def county_picture(city: City, plan: AddressPlan, county: Site) -> Scene:
    """One county whole: every township and village by name."""
    content = Content(city, plan)
    board = Board(_painter(city))
    below = [city.sites[key] for key in content.tree.below(county.id)]
    villages = sum(site.level is Level.VILLAGE for site in below)
    townships = sum(site.level is Level.TOWNSHIP for site in below)
    name = place_name(city, county)
    title = f"{name}电子政务外网拓扑（{city.layout.name}）"
    prefixes = " · ".join(str(plan.county_prefix(county.id, family)) for family in Family)
    routers = sum(len(content.tree.nodes.get(site.id, ())) for site in (county, *below))
    counted = f"乡级{townships}个 · 村级{villages}个 · 节点{routers}个"
    board.heading(title, [counted, f"汇总地址 {prefixes}"])
    details = villages <= _WITH_ADDRESSES
    _legend(board, hosts=True, counts=False)
    cores = _core(board, content, details=False)
    placed = _county_box(board, content, county, cores)
    cards = content.below_cards(county, details)
    if cards:
        middle = (placed.x + placed.width / 2, placed.y + placed.height)
        sources: Sources = {
            plane: (middle[0] + offset, middle[1])
            for plane, offset in ((Plane.A, -14), (Plane.BOTH, 0), (Plane.B, 14))
        }
        board.columns("乡级、村级", cards, max(2, min(len(cards), 4 if details else 6)), sources)
    _networks(board, content.network_cards({county.id, *(site.id for site in below)}))
    return board.scene(title, counted)


def _is_small(city: City) -> bool:
    sites = sum(site.role is SiteRole.ACCESS for site in city.sites.values())
    return sites + sum(node.role is NodeRole.CLIENT for node in city.nodes.values()) <= _WHOLE


def _painter(city: City) -> Painter:
    networks = city.networks.values()
    return Painter({one.id: (one.name or one.id, network_style(n).ground) for n, one in enumerate(networks)})


def _legend(board: Board, hosts: bool, counts: bool) -> None:
    """What lines and signs mean."""
    x, y = float(LEFT), board.y
    shapes: list[Shape] = []
    entries: list[tuple[str, str]] = [(PLANE_WORDS[plane], plane.value) for plane in (Plane.A, Plane.B)]
    entries += [("不分平面的链路", "both"), ("路由器（服务器）", "router")]
    if hosts:
        entries.append(("终端", "host"))
    entries.append(("未建、未连接、缺平面", "missing"))
    if counts:
        entries.append(("镇街名后的数字是村数", ""))
    for words, sign in entries:
        if sign in ("a", "b", "both"):
            shapes.append(Path(((x, y - 4), (x + 34, y - 4)), *stroke(Plane(sign))))
            x += 42
        elif sign == "router":
            shapes.append(Rect(x, y - 8, 7, 7, SOFT))
            x += 13
        elif sign == "host":
            shapes.append(Dot(x + 4, y - 4.5, 3.5, PAPER, SOFT))
            x += 14
        fill = ALARM if sign == "missing" else INK
        shapes.append(Text(x, y, words, 12, fill, bold=sign == "missing"))
        x += text_width(words, 12) + 24
    board.group(Group("legend", "图例", tuple(shapes)))
    board.y += 14


def _core(board: Board, content: Content, details: bool) -> dict[Plane, Placed]:
    """The province's routers if there are any, and below them the core's planes."""
    top = board.y
    board.y += 28
    provinces = content.service_cards(SiteRole.PROVINCE, details) if details else []
    above = _provinces(board, provinces)
    cards = content.core_cards()
    width = min(400.0, (RIGHT - LEFT - 40) / max(1, len(cards)) - 40)
    y = board.y + (46 if above else 0)
    centres = _centres(len(cards))
    placed = {
        plane: board.card(card, centre - width / 2, y, width)
        for (plane, card), centre in zip(cards, centres, strict=True)
    }
    if above:
        _province_lines(board, content, above[0], placed)
    _core_links(board, content, list(placed.values()))
    board.y = max((one.y + one.height for one in placed.values()), default=board.y) + 14
    board.band("省级、市级核心" if above else "市级核心", top, board.y)
    board.y += 16
    return placed


def _centres(number: int) -> list[float]:
    """The middles of so many core cards: far apart, so that the lines between them have room for words."""
    if number == 2:
        return [WIDTH * 0.2, WIDTH * 0.8]
    return [WIDTH * (2 * n + 1) / (2 * number) for n in range(number)]


def _provinces(board: Board, cards: Sequence[Card]) -> list[Placed]:
    width = 340.0
    begin = (WIDTH - len(cards) * width - (len(cards) - 1) * 20) / 2
    placed = [board.card(card, begin + n * (width + 20), board.y, width) for n, card in enumerate(cards)]
    board.y = max((one.y + one.height for one in placed), default=board.y)
    return placed


def _province_lines(board: Board, content: Content, province: Placed, cores: dict[Plane, Placed]) -> None:
    middle, bottom = province.x + province.width / 2, board.y
    by_plane: dict[Plane, list[Link]] = {}
    for link in content.province_links():
        by_plane.setdefault(content.plane_of(link), []).append(link)
    for plane, links in by_plane.items():
        core = cores.get(plane) or next(iter(cores.values()))
        end = core.x + core.width / 2
        begin = middle + (-16 if end < middle else 16)
        turn = bottom + 28
        words = [_link_words(content, link) for link in links]
        board.line(((begin, bottom), (begin, turn), (end, turn), (end, core.y)), plane, "\n".join(words))
        _words_between(board, f"province-{plane}", words, begin, end, turn)


def _core_links(board: Board, content: Content, cores: list[Placed]) -> None:
    """The links between neighbouring planes' routers."""
    for left, right in pairwise(cores):
        words = [_link_words(content, link) for link in content.core_links()]
        if not words:
            continue
        begin, end = left.x + left.width, right.x
        y = min(left.y + left.height, right.y + right.height) - 22
        board.line(((begin, y), (end, y)), Plane.BOTH, "\n".join(words))
        _words_between(board, "core-links", words, begin, end, y)


def _link_words(content: Content, link: Link) -> str:
    prefixes = [str(content.plan.link_prefix(link.id, family)) for family in Family]
    return f"{link.id}  {' · '.join(prefixes)}"


def _words_between(board: Board, key: str, words: Sequence[str], begin: float, end: float, y: float) -> None:
    """Words above a horizontal line; of several links the first is named and the others are counted."""
    text = words[0] + (f" 等{len(words)}条" if len(words) > 1 else "")
    lines = wrap_parts(text, 11, abs(end - begin) - 16)
    shapes = [
        Text((begin + end) / 2, y - 6 - 14 * (len(lines) - 1 - n), line, 11, SOFT, anchor="middle")
        for n, line in enumerate(lines)
    ]
    board.group(Group(f"words-{key}", text, tuple(shapes)))


def _margins(board: Board, cores: dict[Plane, Placed], cards: Sequence[Card]) -> Sources:
    """Each plane's line from its core card into the margin, where the buses hang."""
    sources: Sources = {}
    fallback = cores.get(Plane.BOTH) or next(iter(cores.values()))
    for plane in Plane:
        if not any(uplink.plane is plane for card in cards for uplink in card.uplinks):
            continue
        core = cores.get(plane, fallback)
        left = MARGINS[plane] < WIDTH / 2
        x, y = MARGINS[plane], core.y + core.height / 2
        edge = core.x if left else core.x + core.width
        sources[plane] = (x, y)
        board.line(((edge, y), (x, y)), plane)
    return sources


def _county_box(board: Board, content: Content, county: Site, cores: dict[Plane, Placed]) -> Placed:
    """The county's own router below the core, with the lines up to the planes and their prefixes."""
    width = 420.0
    card = content.county_itself(county)
    placed = board.card(card, (WIDTH - width) / 2, board.y + 20, width)
    routers = set(content.tree.nodes.get(county.id, ()))
    for uplink in card.uplinks:
        core = cores.get(uplink.plane) or next(iter(cores.values()))
        begin = core.x + core.width / 2
        left = begin < WIDTH / 2
        end = placed.x if left else placed.x + placed.width
        y = placed.header
        words = [
            _link_words(content, link)
            for link in content.city.links.values()
            if link.b in routers and content.plane_of(link) is uplink.plane
        ]
        board.line(((begin, core.y + core.height), (begin, y), (end, y)), uplink.plane, uplink.hint)
        _words_between(board, f"county-{uplink.plane}", words, begin, end, y)
    board.y = placed.y + placed.height + 16
    return placed


def _networks(board: Board, cards: Sequence[Card]) -> None:
    if cards:
        board.columns("专用网络区", cards, max(2, min(4, len(cards))), {})
