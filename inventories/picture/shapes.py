"""Which shapes make a picture, and how much room do words take? Absolute coordinates in pixels."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, NamedTuple

#: The width of a character in em. These are wider than the fonts that are asked for have them, so that no words
#: overlap on a machine with another one.
_WIDE, _CAPITAL, _NARROW = 1.0, 0.7, 0.6
_TOKENS = re.compile(r"[!-~]+|.", re.DOTALL)


class Rect(NamedTuple):
    """A rectangle with its upper left corner at x, y."""

    x: float
    y: float
    width: float
    height: float
    fill: str
    stroke: str = "none"
    dashes: str = ""
    radius: float = 0
    kind: Literal["rect"] = "rect"


class Path(NamedTuple):
    """A line through points, of one plane's colour and dashes; `hint` says what it is."""

    points: tuple[tuple[float, float], ...]
    stroke: str
    width: float = 1.5
    dashes: str = ""
    hint: str = ""
    kind: Literal["path"] = "path"


class Dot(NamedTuple):
    """A circle around x, y."""

    x: float
    y: float
    radius: float
    fill: str
    stroke: str = "none"
    kind: Literal["dot"] = "dot"


class Text(NamedTuple):
    """Words whose base line begins, ends or is centred at x, y; `hint` shows when one points at them."""

    x: float
    y: float
    text: str
    size: float
    fill: str
    bold: bool = False
    anchor: Literal["start", "middle", "end"] = "start"
    hint: str = ""
    kind: Literal["text"] = "text"


Shape = Rect | Path | Dot | Text


class Group(NamedTuple):
    """Shapes that are one thing: `label` for who hears the picture, `hint` for who points at it.

    With `href` they are a link, in a page that holds the picture.
    """

    id: str
    label: str
    shapes: tuple[Shape, ...]
    hint: str = ""
    href: str = ""


class Scene(NamedTuple):
    """A whole picture; what stands later covers what stands before it."""

    title: str
    description: str
    width: float
    height: float
    items: tuple[Group, ...]


@lru_cache(maxsize=4096)
def _em(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WFA":
        return _WIDE
    return _CAPITAL if character.isupper() else _NARROW


def text_width(text: str, size: float) -> float:
    """At most how wide words of a font size are."""
    return sum(map(_em, text)) * size


def wrap(text: str, size: float, width: float) -> list[str]:
    """Words in lines not wider than `width`; a break is between Chinese characters or Latin words.

    A Latin word wider than that is broken too: nothing is cut off, nothing sticks out.
    """
    lines, line = [], ""
    for token in _parts(_TOKENS.findall(text), size, width):
        if line and text_width(line + token, size) > width:
            lines.append(line.rstrip())
            line = token.lstrip()
        else:
            line += token
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


def wrap_parts(text: str, size: float, width: float) -> list[str]:
    """Parts that ` · ` joins, in lines: a break is between parts where that is possible, and no dot is left there."""
    lines = [""]
    for part in text.split(" · "):
        longer = f"{lines[-1]} · {part}" if lines[-1] else part
        if text_width(longer, size) <= width:
            lines[-1] = longer
        else:
            lines = [*lines, *wrap(part, size, width)] if lines[-1] else wrap(part, size, width)
    return lines


def _parts(tokens: Iterable[str], size: float, width: float) -> Iterable[str]:
    for token in tokens:
        if text_width(token, size) <= width:
            yield token
        else:
            yield from token
