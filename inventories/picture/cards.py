"""How tall is a card, and where stand its words? Cards, and cards in columns, drawn as shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from inventories.picture.content import Card, Entry, Uplink
from inventories.picture.shapes import Dot, Group, Path, Rect, Shape, Text, text_width, wrap, wrap_parts
from inventories.picture.style import ALARM, INK, NEUTRAL, PAPER, PLANE_COLOURS, PLANE_DASHES, SOFT
from inventories.records import Plane

_PADDING = 10
_HEADER, _LINE, _SMALL_LINE = 28, 18, 15
_TITLE, _COUNT, _SIZE, _SMALL = 14, 12, 13, 11
_INDENT, _GLYPH, _GAP = 15, 14, 12


class Placed(NamedTuple):
    """A card at its place; `header` is the height on the page of its heading's middle, where links end."""

    card: Card
    x: float
    y: float
    width: float
    height: float

    @property
    def header(self) -> float:
        return self.y + _HEADER / 2


class _Block(NamedTuple):
    """An entry with its lines broken: label lines, then detail lines."""

    entry: Entry
    labels: list[str]
    details: list[str]
    tag: str
    is_tag_beside: bool

    @property
    def height(self) -> float:
        tagged = _LINE if self.tag and not self.is_tag_beside else 0
        return len(self.labels) * _LINE + tagged + len(self.details) * _SMALL_LINE + 2


class Painter:
    """Draws cards; `networks` are the private networks' names and colours, for the hosts' tags."""

    def __init__(self, networks: Mapping[str, tuple[str, str]]) -> None:
        self._networks = networks

    def height(self, card: Card, width: float) -> float:
        """How tall a card of a width is."""
        heading = _HEADER + _LINE * (len(_heading(card, width)) - 1)
        facts = sum(len(wrap_parts(fact, _SMALL, width - 2 * _PADDING)) for fact in card.facts)
        facts += bool(card.missing)
        columns = self._columns(card, width)
        tree = max((sum(block.height for block in column) for column in columns), default=0)
        room = 6 if facts or tree else 0
        return heading + room + facts * _SMALL_LINE + tree + (4 if facts and tree else 0) + room

    def place(self, card: Card, x: float, y: float, width: float) -> Placed:
        """A card at a place."""
        return Placed(card, x, y, width, self.height(card, width))

    def draw(self, placed: Placed) -> Group:
        """All shapes of a card."""
        card, x, y, width, height = placed
        ground, ink = card.style.ground, card.style.ink
        heading = _heading(card, width)
        top = y + _HEADER + _LINE * (len(heading) - 1)
        shapes: list[Shape] = [
            Rect(x, y, width, height, PAPER, ground if ink == PAPER else NEUTRAL, card.style.dashes, 4),
            Rect(x, y, width, top - y, ground, radius=4),
        ]
        for number, line in enumerate(heading):
            if line:
                shapes.append(Text(x + _PADDING, y + 19 + number * _LINE, line, _TITLE, ink, bold=True))
        if card.right:
            shapes.append(Text(x + width - _PADDING, top - 9, card.right, _COUNT, ink, anchor="end"))
        top += 6
        if card.missing:
            shapes.append(Text(x + _PADDING, top + 11, card.missing, _SMALL, ALARM, bold=True))
            top += _SMALL_LINE
        for fact in card.facts:
            for line in wrap_parts(fact, _SMALL, width - 2 * _PADDING):
                shapes.append(Text(x + _PADDING, top + 11, line, _SMALL, SOFT))
                top += _SMALL_LINE
        if (card.facts or card.missing) and card.entries:
            top += 4
        columns = self._columns(card, width)
        column_width = self._column_width(card, width)
        for number, column in enumerate(columns):
            shapes += self._draw_column(
                column, x + _PADDING + number * (column_width + _GAP), top, column_width
            )
        return Group(card.id, f"{card.title} {card.right}".strip(), tuple(shapes))

    def _column_width(self, card: Card, width: float) -> float:
        return (width - 2 * _PADDING - (card.columns - 1) * _GAP) / card.columns

    def _columns(self, card: Card, width: float) -> list[list[_Block]]:
        """The entries in columns of about one height; what hangs on an entry stays below it."""
        column_width = self._column_width(card, width)
        units: list[list[_Block]] = []
        for entry in card.entries:
            block = self._block(entry, column_width)
            if entry.depth == 1 or not units:
                units.append([])
            units[-1].append(block)
        heights = [sum(block.height for block in unit) for unit in units]
        share = sum(heights) / card.columns
        columns: list[list[_Block]] = [[] for _ in range(card.columns)]
        done = 0.0
        for unit, height in zip(units, heights, strict=True):
            column = min(card.columns - 1, int(done / share))
            columns[column] += unit
            done += height
        return columns

    def _block(self, entry: Entry, width: float) -> _Block:
        room = width - (entry.depth - 1) * _INDENT - _GLYPH - 8
        right = self._right(entry)
        beside = text_width(right, _SMALL) + 8 if right else 0
        labels = wrap(entry.label, _SIZE, room - beside)
        details = [line for detail in entry.details for line in wrap_parts(detail, _SMALL, room)]
        tag = self._networks[entry.tag][0] if entry.tag else ""
        words = text_width(labels[-1], _SIZE) + 8 + text_width(tag, _SMALL) + 10
        return _Block(entry, labels, details, tag, len(labels) == 1 and words <= room - beside)

    def _right(self, entry: Entry) -> str:
        return "  ".join(part for part in (entry.missing, entry.right) if part)

    def _draw_column(self, blocks: Sequence[_Block], x: float, top: float, width: float) -> list[Shape]:
        lines: list[Shape] = []
        words: list[Shape] = []
        #: Where the line that entries of a depth hang on begins; its last entry's height.
        starts: dict[int, float] = {1: top - 4}
        ends: dict[int, float] = {}
        y = top
        for block in blocks:
            entry = block.entry
            rail = x + 4 + (entry.depth - 1) * _INDENT
            middle = y + _LINE / 2
            for depth in [depth for depth in ends if depth > entry.depth]:
                lines.append(self._rail(x, depth, starts, ends.pop(depth)))
            if entry.depth > 1 and entry.depth not in ends:
                starts[entry.depth] = y - 3
            ends[entry.depth] = middle
            lines += _ticks(entry.uplinks, rail, middle)
            words += self._draw_block(block, rail, y, x + width)
            y += block.height
        lines += [self._rail(x, depth, starts, end) for depth, end in ends.items()]
        return [*lines, *words]

    def _rail(self, x: float, depth: int, starts: Mapping[int, float], end: float) -> Path:
        rail = x + 4 + (depth - 1) * _INDENT
        return Path(((rail, starts[depth]), (rail, end)), NEUTRAL, 1)

    def _draw_block(self, block: _Block, rail: float, y: float, right: float) -> list[Shape]:
        entry = block.entry
        glyph, left = rail + 11, rail + _GLYPH + 5
        middle = y + _LINE / 2
        shapes: list[Shape] = [
            Dot(glyph, middle, 3.5, PAPER, SOFT) if entry.is_host else Rect(glyph - 3, middle - 3, 6, 6, SOFT)
        ]
        if entry.right:
            shapes.append(Text(right, y + 13, entry.right, _SMALL, SOFT, anchor="end"))
        if entry.missing:
            edge = right - (text_width(f"  {entry.right}", _SMALL) if entry.right else 0)
            shapes.append(Text(edge, y + 13, entry.missing, _SMALL, ALARM, bold=True, anchor="end"))
        for line in block.labels:
            shapes.append(Text(left, y + 13.5, line, _SIZE, INK, hint=entry.hint))
            y += _LINE
        if block.is_tag_beside and block.tag:
            beside = left + text_width(block.labels[-1], _SIZE) + 8
            shapes += self._draw_tag(entry.tag, beside, y - _LINE + 1)
        elif block.tag:
            shapes += self._draw_tag(entry.tag, left, y)
            y += _LINE
        for line in block.details:
            shapes.append(Text(left, y + 10, line, _SMALL, SOFT))
            y += _SMALL_LINE
        return shapes

    def _draw_tag(self, network: str, x: float, y: float) -> list[Shape]:
        name, colour = self._networks[network]
        width = text_width(name, _SMALL) + 10
        return [
            Rect(x, y, width, _SMALL_LINE, PAPER, colour, radius=3),
            Text(x + 5, y + 11, name, _SMALL, colour, bold=True),
        ]


def _heading(card: Card, width: float) -> list[str]:
    """The title's lines; an empty one at the end where what stands at the right has no room beside the last."""
    room = width - 2 * _PADDING
    lines = wrap(card.title, _TITLE, room)
    beside = text_width(card.right, _COUNT) + _GAP if card.right else 0
    return lines if text_width(lines[-1], _TITLE) + beside <= room else [*lines, ""]


def _ticks(uplinks: Sequence[Uplink], rail: float, middle: float) -> list[Shape]:
    """The short lines from the rail to an entry: one for each plane that leads up from it."""
    if not uplinks:
        return [Path(((rail, middle), (rail + 8, middle)), NEUTRAL, 1)]
    first = middle - 2 * (len(uplinks) - 1)
    return [
        Path(((rail, first + 4 * n), (rail + 8, first + 4 * n)), *stroke(uplink.plane, 1.2), uplink.hint)
        for n, uplink in enumerate(uplinks)
    ]


def stroke(plane: Plane, width: float = 2) -> tuple[str, float, str]:
    """Colour, width and dashes of a plane's lines."""
    return PLANE_COLOURS.get(plane, NEUTRAL), width, PLANE_DASHES.get(plane, "")
