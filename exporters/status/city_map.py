"""How does the city look on the page? The network's drawing with each place's state, as shape, word and colour."""

from __future__ import annotations

from collections.abc import Sequence

from exporters.status.divisions import Divisions
from exporters.status.network import Network, Probe, Target
from exporters.status.states import State, worst
from inventories.picture import city_cards, county_cards
from inventories.picture.as_svg import render_svg
from inventories.picture.board import Board
from inventories.picture.cards import Painter, Placed
from inventories.picture.content import Card, Content, Entry
from inventories.picture.pictures import margins
from inventories.picture.shapes import Dot, Group, Path, Rect, Shape, Text, text_width
from inventories.picture.style import PAPER, PLAIN, WIDTH, CardStyle
from inventories.plan import build_plan
from inventories.records import City, Level, Plane, SiteRole

#: The ground of a card's heading and the words on it: the colours of the page's own sheet.
COLOURS = {
    State.OK: CardStyle("#14703a", PAPER),
    State.WARNING: CardStyle("#8a5300", PAPER),
    State.CRITICAL: CardStyle("#b3181f", PAPER),
    State.UNKNOWN: CardStyle("#515c70", PAPER),
}
#: What is planned and not built is no fault: a dashed border, and words.
PLANNED = CardStyle(PLAIN.ground, PLAIN.ink, "4 3")
WORDS = {State.OK: "正常", State.WARNING: "注意", State.CRITICAL: "故障", State.UNKNOWN: "未探测"}
_SERVICES = (SiteRole.CLOUD, SiteRole.XINCHUANG, SiteRole.BACKUP, SiteRole.OPERATIONS, SiteRole.BORDER)
#: Cards of counties beside each other, and places in trouble that a card names.
_COLUMNS = 5
_NAMED = 4
_CORE_WIDTH = 330.0
#: A sign's width and the room right of it; two wide spaces before the word keep that free.
_SIGN, _ROOM = 14.0, 5.0
_FREE = "\u3000\u3000"


def city_map(city: City, network: Network, divisions: Divisions, root: str = "") -> str:
    """The map as SVG to stand in a page: core, the city's own sites, counties, with the lines between them.

    `root` leads from the page to the pages' root. Empty where the city has no core to hang anything on.
    """
    content = Content(city, build_plan(city))
    dress = _Dress(content, network, divisions, root)
    board = Board(Painter({}))
    cores = _core(board, content, dress)
    if not cores:
        return ""
    services = [
        dress.site(card, card.id.removeprefix("site-"))
        for role in _SERVICES
        for card in city_cards.service_cards(content, role, details=False)
    ]
    counties = [
        dress.county(county_cards.county_card(content, site, whole=False), site.division)
        for site in county_cards.counties(content)
    ]
    sources = margins(board, cores, [*services, *counties])
    if services:
        sources = board.rows("市级", services, sources)
    if counties:
        board.columns("县级", counties, min(len(counties), _COLUMNS), sources)
    scene = board.scene(f"{city.layout.name}电子政务外网状态图", city_cards.counted(content))
    return render_svg(scene._replace(items=tuple(map(dress.marked, scene.items))))


def _core(board: Board, content: Content, dress: _Dress) -> dict[Plane, Placed]:
    """The core's cards beside each other, at the top."""
    cards = city_cards.core_cards(content)
    placed = {}
    for number, (plane, card) in enumerate(cards):
        middle = WIDTH * (2 * number + 1) / (2 * len(cards))
        dressed = dress.core(card, plane)
        placed[plane] = board.card(dressed, middle - _CORE_WIDTH / 2, 34, _CORE_WIDTH)
    board.y = max((one.y + one.height for one in placed.values()), default=34) + 14
    board.band("市级核心", 0, board.y)
    board.y += 16
    return placed


class _Dress:
    """Gives the drawing's cards their state; remembers it, and where each leads, for the signs drawn on them."""

    def __init__(self, content: Content, network: Network, divisions: Divisions, root: str) -> None:
        self._content = content
        self._divisions = divisions
        self._root = root
        self._city = f"{root}{Level.CITY}/{content.city.layout.division}"
        self._states: dict[str, State] = {}
        self._links: dict[str, str] = {}
        self._by_site: dict[str, list[Target]] = {}
        self._by_node: dict[str, list[Target]] = {}
        for target in network.targets:
            self._by_site.setdefault(target.place.site, []).append(target)
            self._by_node.setdefault(target.subject, []).append(target)

    def core(self, card: Card, plane: Plane) -> Card:
        """A plane of the core keeps the plane's colour; its state is a sign and a word."""
        nodes = self._content.city.nodes
        ours = [key for key in nodes if city_cards.core_plane(self._content, key) is plane]
        return self._dressed(card, [one for key in ours for one in self._by_node.get(key, ())])

    def site(self, card: Card, site: str) -> Card:
        """A site of the city itself, without its nodes."""
        return self._dressed(card, self._by_site.get(site, ()), colour=True)

    def county(self, card: Card, code: str) -> Card:
        """A county with both families, and the places below that are in trouble."""
        page = self._divisions.page(Level.COUNTY, code)
        if page is None:
            return card._replace(entries=())
        itself = page.itself
        self._links[card.id] = self._root + itself.path
        if not itself.is_built:
            return card._replace(style=PLANNED, right="规划未建", facts=(), entries=(), missing="")
        self._states[card.id] = itself.state
        troubles = [one for one in page.below if one.is_built and one.state is not State.OK]
        entries = [
            Entry(f"trouble-{one.code}", one.name, 1, missing=one.trouble or WORDS[one.state])
            for one in troubles[:_NAMED]
        ]
        if len(troubles) > _NAMED:
            entries.append(Entry(f"more-{code}", f"另有{len(troubles) - _NAMED}处异常", 1))
        return card._replace(
            style=COLOURS[itself.state],
            right=_FREE + WORDS[itself.state],
            facts=(
                f"IPv4 {itself.ipv4.well}/{itself.ipv4.total} · IPv6 {itself.ipv6.well}/{itself.ipv6.total}",
                card.right or "下无乡村",
            ),
            entries=tuple(entries),
            columns=1,
            missing=card.missing if card.missing != "未建" else "",
        )

    def _dressed(self, card: Card, targets: Sequence[Target], colour: bool = False) -> Card:
        state = worst(target.state for target in targets) if targets else State.UNKNOWN
        self._states[card.id], self._links[card.id] = state, self._city
        four, six = ([target.ipv4 for target in targets], [target.ipv6 for target in targets])
        return card._replace(
            style=COLOURS[state] if colour else card.style,
            right=_FREE + WORDS[state],
            facts=(f"IPv4 {_answering(four)} · IPv6 {_answering(six)}",),
            entries=(),
            columns=1,
        )

    def marked(self, group: Group) -> Group:
        """A card with the sign of its state, left of the word, and the link to its page."""
        state = self._states.get(group.id)
        link = self._links.get(group.id, "")
        if state is None:
            return group._replace(href=link)
        card, heading = group.shapes[0], group.shapes[1]
        assert isinstance(card, Rect) and isinstance(heading, Rect)  # noqa: S101 - so a card is drawn
        right = card.x + card.width - 10 - text_width(WORDS[state], 12) - _ROOM
        bottom = heading.y + heading.height - 7
        return group._replace(
            shapes=(*group.shapes, *sign(state, right - _SIGN, bottom - _SIGN, PAPER)), href=link
        )


def sign(state: State, x: float, y: float, ink: str) -> list[Shape]:
    """A state's shape, of lines on a heading: ring and tick, triangle and bar, square and cross, ring and mark."""
    right, bottom, middle = x + _SIGN, y + _SIGN, x + _SIGN / 2
    if state is State.WARNING:
        return [
            Path(((middle, y), (right, bottom), (x, bottom), (middle, y)), ink, 1.6),
            Path(((middle, y + 5), (middle, bottom - 5)), ink, 1.6),
            Dot(middle, bottom - 2.8, 1, ink),
        ]
    if state is State.CRITICAL:
        return [
            Rect(x, y, _SIGN, _SIGN, ink, radius=2),
            Path(((x + 3, y + 3), (right - 3, bottom - 3)), COLOURS[state].ground, 2.2),
            Path(((right - 3, y + 3), (x + 3, bottom - 3)), COLOURS[state].ground, 2.2),
        ]
    ring = Dot(middle, y + _SIGN / 2, _SIGN / 2 - 0.5, "none", ink)
    if state is State.UNKNOWN:
        return [ring, Text(middle, y + 11, "?", 10, ink, bold=True, anchor="middle")]
    return [ring, Path(((x + 3.4, y + 7.2), (x + 6.2, y + 10), (x + 10.6, y + 4.6)), ink, 1.8)]


def _answering(probes: Sequence[Probe | None]) -> str:
    known = [probe for probe in probes if probe]
    return f"{sum(probe.well for probe in known)}/{len(known)}" if known else "—"
