"""What is drawn of a whole city, and what of one county? Each is a scene, ready to be written as SVG."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from inventories.picture import city_cards, county_cards
from inventories.picture.board import LEFT, MARGINS, RIGHT, STUBS, Board, Sources
from inventories.picture.cards import Painter, Placed, stroke
from inventories.picture.content import Card, Content
from inventories.picture.shapes import Dot, Group, Path, Rect, Scene, Shape, Text, text_width, wrap_parts
from inventories.picture.style import ALARM, INK, PAPER, PLANE_WORDS, SOFT, WIDTH
from inventories.plan import AddressPlan
from inventories.records import ON_A_LAN, City, Family, Level, Link, Plane, Site, SiteRole
from inventories.tree import place_name

#: A city of so many sites and clients at most is drawn whole, down to villages and hosts.
_WHOLE = 60
#: A county of so many villages at most shows the addresses of each.
_WITH_ADDRESSES = 240
#: Between lines that are nearer than this no words stand.
_NARROW = 150
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
    board.heading(title, [city_cards.counted(content)])
    _legend(board, hosts=whole, counts=not whole)
    cores = _core(board, content, details=True)
    services = [card for role in _SERVICES for card in city_cards.service_cards(content, role, details=whole)]
    counties = [county_cards.county_card(content, site, whole) for site in county_cards.counties(content)]
    sources = margins(board, cores, [*services, *counties])
    if services:
        sources = board.rows("市级", services, sources)
    if counties:
        count = min(len(counties), 3 if whole else 4)
        label = "县级、乡级、村级" if whole else "县级、乡级（数字为村数）"
        board.columns(label, counties, count, sources)
    _networks(board, city_cards.network_cards(content))
    return board.scene(title, city_cards.counted(content))


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
    cards = county_cards.below_cards(content, county, details)
    if cards:
        middle = (placed.x + placed.width / 2, placed.y + placed.height)
        sources: Sources = {plane: (middle[0] + offset, middle[1]) for plane, offset in STUBS.items()}
        board.columns("乡级、村级", cards, max(2, min(len(cards), 4 if details else 6)), sources)
    _networks(board, city_cards.network_cards(content, {county.id, *(site.id for site in below)}))
    return board.scene(title, counted)


def _is_small(city: City) -> bool:
    sites = sum(site.role is SiteRole.ACCESS for site in city.sites.values())
    return sites + sum(node.role in ON_A_LAN for node in city.nodes.values()) <= _WHOLE


def _painter(city: City) -> Painter:
    networks = city.networks.values()
    return Painter(
        {one.id: (one.name or one.id, city_cards.network_style(n).ground) for n, one in enumerate(networks)}
    )


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
    province = city_cards.province_card(content) if details else None
    above = board.card(province, (WIDTH - 340) / 2, board.y, 340) if province else None
    if above:
        board.y = above.y + above.height
    cards = city_cards.core_cards(content)
    width = min(400.0, (RIGHT - LEFT - 40) / max(1, len(cards)) - 40)
    y = board.y + (46 if above else 0)
    centres = _centres(len(cards))
    placed = {
        plane: board.card(card, centre - width / 2, y, width)
        for (plane, card), centre in zip(cards, centres, strict=True)
    }
    if above:
        _province_lines(board, content, above, placed)
    _core_links(board, content, placed)
    board.y = max((one.y + one.height for one in placed.values()), default=board.y) + 14
    board.band("省级、市级核心" if above else "市级核心", top, board.y)
    board.y += 16
    return placed


def _centres(number: int) -> list[float]:
    """The middles of so many core cards: far apart, so that the lines between them have room for words."""
    if number == 2:
        return [WIDTH * 0.2, WIDTH * 0.8]
    return [WIDTH * (2 * n + 1) / (2 * number) for n in range(number)]


def _province_lines(board: Board, content: Content, province: Placed, cores: dict[Plane, Placed]) -> None:
    middle, bottom = province.x + province.width / 2, board.y
    by_plane: dict[Plane, list[Link]] = {}
    for link in city_cards.province_links(content):
        by_plane.setdefault(content.plane_of(link), []).append(link)
    for plane, links in by_plane.items():
        core = cores.get(plane) or next(iter(cores.values()))
        end = core.x + core.width / 2 + (0 if plane in cores else STUBS[plane])
        begin = middle + STUBS[plane]
        turn = bottom + 28
        words = [city_cards.link_words(content, link) for link in links]
        board.line(((begin, bottom), (begin, turn), (end, turn), (end, core.y)), plane, "\n".join(words))
        if abs(end - begin) < _NARROW:
            _words_beside(board, f"province-{plane}", words, plane, end, turn + 14)
        else:
            _words_between(board, f"province-{plane}", words, begin, end, turn)


def _core_links(board: Board, content: Content, cores: dict[Plane, Placed]) -> None:
    """The links between the routers of neighbouring cards."""
    for (one, left), (other, right) in pairwise(cores.items()):
        words = [city_cards.link_words(content, link) for link in city_cards.core_links(content, one, other)]
        if not words:
            continue
        begin, end = left.x + left.width, right.x
        y = min(left.y + left.height, right.y + right.height) - 22
        board.line(((begin, y), (end, y)), Plane.BOTH, "\n".join(words))
        _words_between(board, f"core-{one}-{other}", words, begin, end, y)


def _words_beside(board: Board, key: str, words: Sequence[str], plane: Plane, x: float, y: float) -> None:
    """Words at the side of a line that leads down: plane A's left of it, the others' right of it."""
    text = _first(words)
    anchor: Literal["start", "end"] = "end" if plane is Plane.A else "start"
    side = -8 if plane is Plane.A else 8
    board.group(Group(f"words-{key}", text, (Text(x + side, y, text, 11, SOFT, anchor=anchor),)))


def _first(words: Sequence[str]) -> str:
    """Of several links the first is named, and the others are counted."""
    return words[0] + (f" 等{len(words)}条" if len(words) > 1 else "")


def _words_between(board: Board, key: str, words: Sequence[str], begin: float, end: float, y: float) -> None:
    """Words above a horizontal line."""
    text = _first(words)
    lines = wrap_parts(text, 11, abs(end - begin) - 16)
    shapes = [
        Text((begin + end) / 2, y - 6 - 14 * (len(lines) - 1 - n), line, 11, SOFT, anchor="middle")
        for n, line in enumerate(lines)
    ]
    board.group(Group(f"words-{key}", text, tuple(shapes)))


def margins(board: Board, cores: dict[Plane, Placed], cards: Sequence[Card]) -> Sources:
    """Each plane's line from its core card into the margin, where the buses hang."""
    sources: Sources = {}
    fallback = cores.get(Plane.BOTH) or next(iter(cores.values()))
    for plane in Plane:
        if not any(uplink.plane is plane for card in cards for uplink in card.uplinks):
            continue
        core = cores.get(plane, fallback)
        x, y, bottom = MARGINS[plane], core.y + core.height / 2, core.y + core.height
        if plane is Plane.BOTH:  # below the cards: another plane's may stand between it and the margin
            middle, y = core.x + core.width / 2, bottom + 7
            board.line(((middle, bottom), (middle, y), (x, y)), plane)
        else:
            edge = core.x if x < WIDTH / 2 else core.x + core.width
            board.line(((edge, y), (x, y)), plane)
        sources[plane] = (x, y)
    return sources


def _county_box(board: Board, content: Content, county: Site, cores: dict[Plane, Placed]) -> Placed:
    """The county's own router below the core, with the lines up to the planes and their prefixes."""
    width = 420.0
    card = county_cards.county_itself(content, county)
    placed = board.card(card, (WIDTH - width) / 2, board.y + 36, width)
    routers = set(content.tree.nodes.get(county.id, ()))
    for uplink in card.uplinks:
        core = cores.get(uplink.plane) or next(iter(cores.values()))
        begin = core.x + core.width / 2 + (0 if uplink.plane in cores else STUBS[uplink.plane])
        words = [
            city_cards.link_words(content, link)
            for link in content.city.links.values()
            if link.b in routers and content.plane_of(link) is uplink.plane
        ]
        key, top = f"county-{uplink.plane}", core.y + core.height
        if placed.x < begin < placed.x + width:
            board.line(((begin, top), (begin, placed.y)), uplink.plane, uplink.hint)
            _words_beside(board, key, words, uplink.plane, begin, placed.y - 38)
        else:
            end = placed.x if begin < placed.x else placed.x + width
            board.line(
                ((begin, top), (begin, placed.header), (end, placed.header)), uplink.plane, uplink.hint
            )
            _words_between(board, key, words, begin, end, placed.header)
    board.y = placed.y + placed.height + 16
    return placed


def _networks(board: Board, cards: Sequence[Card]) -> None:
    if cards:
        board.columns("专用网络区", cards, max(2, min(4, len(cards))), {})
