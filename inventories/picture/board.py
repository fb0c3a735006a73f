"""Where do blocks of cards stand below each other, and how do lines lead to them?

A block hangs on a bus: for each plane one horizontal line, from which a line leads to every card. The buses of
several blocks are joined by lines in the margins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inventories.picture.cards import Painter, Placed, stroke
from inventories.picture.content import Card
from inventories.picture.shapes import Dot, Group, Path, Rect, Scene, Shape, Text
from inventories.picture.style import BAND, INK, SOFT, WIDTH
from inventories.records import Plane

#: A band's left and right edge; the joining lines run in the margins beside it.
LEFT, RIGHT = 26, WIDTH - 26
MARGINS = {Plane.A: 13, Plane.BOTH: 6, Plane.B: WIDTH - 13}
#: The room left of a card for the lines that lead to it, and where in it each plane's runs.
_GUTTER = 30
_LANES = {Plane.A: 22, Plane.B: 14, Plane.BOTH: 7}
#: How far below the heading's middle each plane's line ends at a card.
_ENDS = {Plane.A: -6, Plane.BOTH: 0, Plane.B: 6}
#: How far from a card's middle each plane's line ends at its upper edge.
STUBS = {Plane.A: -14, Plane.BOTH: 0, Plane.B: 14}
_BUS_STEP = 11
#: A card of fewer entries than this is narrow beside others.
_SHORT = 4
#: What a row of cards holds, in narrow cards; and how wide one of these is at most.
_FULL, _WIDEST = 6.0, 420.0

#: Where a plane's bus begins: the point from which it hangs, or a margin.
Sources = dict[Plane, tuple[float, float]]


class Board:
    """A picture that grows downwards."""

    def __init__(self, painter: Painter) -> None:
        self.painter = painter
        self.y: float = 0
        self._ground: list[Shape] = []
        self._lines: list[Shape] = []
        self._dots: list[Shape] = []
        self._groups: list[Group] = []

    def line(self, points: tuple[tuple[float, float], ...], plane: Plane, hint: str = "") -> None:
        """A line of a plane."""
        self._lines.append(Path(points, *stroke(plane), hint))

    def dot(self, x: float, y: float, plane: Plane) -> None:
        """Where a line leaves a bus."""
        self._dots.append(Dot(x, y, 2.8, stroke(plane)[0]))

    def group(self, group: Group) -> None:
        """Shapes above lines and grounds."""
        self._groups.append(group)

    def card(self, card: Card, x: float, y: float, width: float) -> Placed:
        """Draws a card."""
        placed = self.painter.place(card, x, y, width)
        self._groups.append(self.painter.draw(placed))
        return placed

    def band(self, label: str, top: float, bottom: float) -> None:
        """The ground of a block, with the level's name."""
        self._ground.append(Rect(LEFT, top, RIGHT - LEFT, bottom - top, BAND, radius=6))
        self._ground.append(Text(LEFT + 10, top + 19, label, 14, SOFT, bold=True))

    def rows(self, label: str, cards: Sequence[Card], sources: Sources) -> Sources:
        """Cards beside each other on a bus above them; answers from where the next block's buses hang."""
        for some in _rows(cards):
            top = self.y
            buses = self._buses(some, top)
            y = top + 30 + _BUS_STEP * len(buses) + 16
            placed = self._beside(some, y)
            ends: dict[Plane, list[float]] = {plane: [] for plane in buses}
            for one in placed:
                for uplink in one.card.uplinks:
                    x = one.x + one.width / 2 + STUBS[uplink.plane]
                    ends[uplink.plane].append(x)
                    self.line(((x, buses[uplink.plane]), (x, one.y)), uplink.plane, uplink.hint)
            sources = self._join(buses, ends, sources)
            self.y = max(one.y + one.height for one in placed) + 14
            self.band(label, top, self.y)
            self.y += 16
        return sources

    def _beside(self, cards: Sequence[Card], y: float) -> list[Placed]:
        """Cards that share the width: one that says more takes more of it."""
        room = RIGHT - LEFT - 20 - 12 * (len(cards) - 1)
        share = min(_WIDEST, room / sum(map(_weight, cards)))
        placed, x = [], LEFT + 10.0
        for card in cards:
            placed.append(self.card(card, x, y, share * _weight(card)))
            x += share * _weight(card) + 12
        return placed

    def columns(self, label: str, cards: Sequence[Card], count: int, sources: Sources) -> Sources:
        """Cards in columns, each at the shortest one's end, on lines left of each column."""
        top = self.y
        buses = self._buses(cards, top)
        begin = top + 30 + _BUS_STEP * len(buses) + 8
        gutter = _GUTTER if buses else 12
        width = (RIGHT - LEFT - 10 - count * gutter) / count
        bottoms = [begin] * count
        lanes: dict[tuple[Plane, int], float] = {}
        for card in cards:
            column = min(range(count), key=lambda n: (bottoms[n], n))
            x = LEFT + gutter + column * (width + gutter)
            placed = self.card(card, x, bottoms[column], width)
            bottoms[column] += placed.height + 14
            for uplink in card.uplinks:
                y, lane = placed.header + _ENDS[uplink.plane], x - _LANES[uplink.plane]
                self.line(((lane, y), (x, y)), uplink.plane, uplink.hint)
                self.dot(lane, y, uplink.plane)
                lanes[uplink.plane, column] = y
        ends: dict[Plane, list[float]] = {plane: [] for plane in buses}
        for (plane, column), end in sorted(lanes.items()):
            lane = LEFT + gutter + column * (width + gutter) - _LANES[plane]
            ends[plane].append(lane)
            self.line(((lane, buses[plane]), (lane, end)), plane)
        sources = self._join(buses, ends, sources)
        self.y = max(bottoms)
        self.band(label, top, self.y)
        self.y += 16
        return sources

    def _buses(self, cards: Sequence[Card], top: float) -> dict[Plane, float]:
        """The height of each bus that the cards need."""
        planes = {uplink.plane for card in cards for uplink in card.uplinks}
        return {plane: top + 32 + n * _BUS_STEP for n, plane in enumerate(p for p in Plane if p in planes)}

    def _join(
        self, buses: Mapping[Plane, float], ends: Mapping[Plane, list[float]], sources: Sources
    ) -> Sources:
        """Draws the buses from their sources to the last card; the next block's hang in the margins."""
        following = dict(sources)
        for plane, y in buses.items():
            x, above = sources[plane]
            self.line(((x, above), (x, y)), plane)
            self.line(((min(x, *ends[plane]), y), (max(x, *ends[plane]), y)), plane)
            for end in sorted({x, *ends[plane]}):
                self.dot(end, y, plane)
            following[plane] = (x, y)
        return following

    def scene(self, title: str, description: str) -> Scene:
        """The finished picture."""
        items = (
            Group("ground", "层级", tuple(self._ground)),
            Group("links", "链路", tuple(self._lines + self._dots)),
            *self._groups,
        )
        return Scene(title, description, WIDTH, self.y, items)

    def heading(self, title: str, below: Sequence[str]) -> None:
        """The title and lines of smaller words below it."""
        shapes: list[Shape] = [Text(LEFT, 38, title, 24, INK, bold=True)]
        self.y = 46
        for line in below:
            self.y += 20
            shapes.append(Text(LEFT, self.y, line, 14, SOFT))
        self.y += 24
        self.group(Group("heading", title, tuple(shapes)))


def _weight(card: Card) -> float:
    """How wide a card is beside others, the narrow ones' width being 1."""
    return 1.0 if len(card.entries) < _SHORT else 1.3 * card.columns


def _rows(cards: Sequence[Card]) -> list[list[Card]]:
    """The cards in rows that are no fuller than a row can be."""
    rows: list[list[Card]] = []
    for card in cards:
        if not rows or sum(map(_weight, rows[-1])) + _weight(card) > _FULL:
            rows.append([])
        rows[-1].append(card)
    return rows
