"""What value does the text of a cell stand for, and if none, what would be right?

Nothing is stripped or repaired in silence: what a spreadsheet leaves in a cell (spaces, full-width
letters and digits, characters that cannot be seen) is an error that says what to write instead.
"""

from __future__ import annotations

import functools
import re
import types
import typing
import unicodedata
from typing import Any, NamedTuple

import msgspec
import msgspec.inspect

from inventories.backups.records import Window
from inventories.problems import Suggestions, shown
from inventories.records import DivisionCode, HostName, InterfaceName, NetworkName, Record, Seconds

#: Columns in the words of people, where full-width characters are at home: 八五一０农场 is an official name.
FREE_TEXT = frozenset({"name", "section", "target", "title", "schedule", "reason"})

#: A cell without any of these characters needs no closer look at its characters.
SUSPECT = re.compile(
    "[\x00-\x20\x7f-\xa0\xad\u200b-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\uff01-\uff5e]"
)
_INVISIBLE = re.compile("[\x00-\x1f\x7f-\x9f\xad\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
_FULL_WIDTH = re.compile("[\uff01-\uff5e]")

_SECONDS_OF = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"^([0-9]{1,9})([smhd])\Z")
#: Units as people write them, and the one that is meant.
_UNIT_WORDS = {
    "s": ("sec", "secs", "second", "seconds", "秒", "秒钟"),
    "m": ("min", "mins", "minute", "minutes", "分", "分钟"),
    "h": ("hr", "hrs", "hour", "hours", "时", "小时", "个小时"),
    "d": ("day", "days", "天", "日"),
}
_FORMATS = {
    HostName: "lower-case letters, digits and hyphens, at most 63, no hyphen at either end (RFC 1123)",
    InterfaceName: "lower-case letters, digits and hyphens, at most 15 (Linux's IFNAMSIZ)",
    NetworkName: "lower-case letters, digits and hyphens, at most 11: interface names are made of it",
    DivisionCode: "a statistical code of 2, 4, 6, 9 or 12 digits",
    Window: "a part of the day, 22:00-06:00; its end may be on the next",
}
_LONGEST = {HostName: 63, InterfaceName: 15, NetworkName: 11}


class Fault(NamedTuple):
    """Why a value is refused, and what would be right; `offset` is where in the cell, in characters."""

    what: str
    fix: str
    offset: int = 0


class Refused(Exception):
    """A value that does not fit its column."""

    def __init__(self, what: str, fix: str, offset: int = 0) -> None:
        super().__init__(what)
        self.fault = Fault(what, fix, offset)


class Column(NamedTuple):
    """A field of a record as a column of a file."""

    name: str
    type: Any
    required: bool

    @property
    def is_tuple(self) -> bool:
        """Whether a cell holds several values with semicolons between them."""
        return typing.get_origin(self.type) is tuple

    @property
    def is_seconds(self) -> bool:
        """Whether a cell holds a duration with its unit."""
        return bool(self.type == Seconds)

    @property
    def is_text(self) -> bool:
        """Whether any text will do, so that an empty cell is an empty text."""
        return self.type is str


@functools.cache
def columns(record: type[Record]) -> dict[str, Column]:
    """The fields of a record by their names in the file, in the record's order."""
    hints = typing.get_type_hints(record, include_extras=True)
    return {
        field.encode_name: Column(field.encode_name, _written(hints[field.name]), field.required)
        for field in msgspec.structs.fields(record)
    }


def _written(type_: Any) -> Any:
    """What a file can hold of a type: no file writes None, it leaves the field out."""
    if isinstance(type_, types.UnionType):
        present = [argument for argument in typing.get_args(type_) if argument is not types.NoneType]
        return present[0] if len(present) == 1 else type_
    return type_


def cell_value(column: Column, cell: str) -> Any:
    """The value of a cell; None stands for an empty cell whose field has a default.

    Raises:
        Refused: the cell stands for no value of the column's type.
    """
    if SUSPECT.search(cell):
        check_characters(column.name, cell)
    if not cell:
        if column.required and not column.is_tuple:
            raise Refused(f"{column.name} is empty", f"write {article(expected(column.type))}")
        return () if column.is_tuple else None
    if column.is_tuple:
        return _elements(column, cell)
    return parse(column, cell, strict=False)


def parse(column: Column, value: Any, *, strict: bool) -> Any:
    """A value of the column's type.

    Args:
        column: what the value is for.
        value: what the file has.
        strict: whether a number must be one, not a text of digits (TOML has types, CSV has none).

    Raises:
        Refused: the value is not one of the column's type.
    """
    if column.is_seconds:
        return seconds(column.name, value)
    try:
        return msgspec.convert(value, column.type, strict=strict)
    except (msgspec.ValidationError, OverflowError):
        raise Refused(*_explain(column, value)) from None


def seconds(name: str, value: Any) -> int:
    """Seconds of a duration with its unit: `30s`, `15m`, `4h`, `7d`; `0` alone needs none.

    Raises:
        Refused: no unit, an unknown one, or no whole number.
    """
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    if text == "0":
        return 0
    if match := _DURATION.match(text):
        return int(match[1]) * _SECONDS_OF[match[2]]
    what = f"{name} is {shown(value)}, which is no duration"
    likely = re.match(r"^\s*([0-9]+)\s*(.*?)\s*\Z", unicodedata.normalize("NFKC", text).lower())
    if likely and not likely[2]:
        what = f"{name} is {shown(value)}, a number without a unit"
        raise Refused(what, f"write {likely[1]}s, {likely[1]}m, {likely[1]}h or {likely[1]}d")
    if likely and likely[2] in ("w", "week", "weeks", "周"):
        raise Refused(what, f"write {int(likely[1]) * 7}d")
    for unit, words in _UNIT_WORDS.items():
        if likely and likely[2] in (unit, *words):
            raise Refused(what, f"write {likely[1]}{unit}")
    raise Refused(what, "write a whole number and s, m, h or d: 30s, 15m, 4h, 7d")


def duration(seconds: int) -> str:
    """Seconds as the inventory writes them: `15m`, `4h`, `7d`; `0` where nothing is set."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s" if seconds else "0"


def expected(type_: Any) -> str:
    """A type in words: its format, or its allowed values."""
    if type_ == Seconds:
        return "duration with its unit: 30s, 15m, 4h, 7d (or 0)"
    for format_, words in _FORMATS.items():
        if type_ == format_:
            return words
    info = msgspec.inspect.type_info(type_)
    match info:
        case msgspec.inspect.EnumType(cls=cls):
            return "one of " + ", ".join(str(member.value) for member in cls)
        case msgspec.inspect.IntType(ge=lowest, le=highest):
            if lowest is not None and highest is not None:
                return f"whole number from {lowest} to {highest}"
            return f"whole number from {lowest}" if lowest is not None else "whole number"
        case msgspec.inspect.VarTupleType(item_type=msgspec.inspect.UnionType()):
            return 'list of ports, from 1 to 65535, and ranges of them: [80, "8000-8099"]'
        case msgspec.inspect.VarTupleType(item_type=msgspec.inspect.StructType()):
            return "list of tables"
        case msgspec.inspect.VarTupleType():
            return "list of texts"
        case msgspec.inspect.DateType():
            return "date without quotation marks: 2027-12-31"
        case msgspec.inspect.UnionType(types=members) if any(
            isinstance(member, msgspec.inspect.IntType) for member in members
        ):
            return 'port from 1 to 65535, or a range of them as text: 443, "8000-8099"'
        case msgspec.inspect.DictType() | msgspec.inspect.StructType():
            return "table"
    return "text"


def article(words: str) -> str:
    """`words` with an indefinite article where English wants one."""
    return (
        f"a {words}"
        if words.startswith(("text", "whole", "duration", "list", "table", "date", "port"))
        else words
    )


def _explain(column: Column, value: Any) -> tuple[str, str]:
    name, wanted = column.name, article(expected(column.type))
    if not isinstance(value, str):
        kind = {bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "a table"}
        what = f"{name} is {kind.get(type(value), 'a date or time')} ({shown(value)})"
        return what, f"write {wanted}" + (" in quotation marks" if column.is_text else "")
    what = f"{name} is {shown(value)}"
    info = msgspec.inspect.type_info(column.type)
    if isinstance(info, msgspec.inspect.EnumType):
        values = [str(member.value) for member in info.cls]
        near = Suggestions().nearest(value.lower(), values)
        return f"{what}, which is none of its values", f"write {wanted}" + (f"; {near}?" if near else "")
    for format_, longest in _LONGEST.items():
        if column.type == format_ and len(value) > longest and _slug(value, len(value)):
            return f"{what}: {len(value)} characters", f"shorten it: {wanted}"
    slug = _slug(value, _LONGEST.get(column.type, 0))
    return what, (f"write {slug!r}: " if slug else "write ") + wanted


def likely_names(key: str) -> set[str]:
    """An id that was refused, and those its writer may have meant: a reference to one is no error."""
    plain = unicodedata.normalize("NFKC", _INVISIBLE.sub("", key)).strip()
    return {key, plain, _slug(plain, len(plain))} - {""}


def _slug(value: str, longest: int) -> str:
    """`value` in the characters of a host name, an empty string when that cannot be done."""
    slug = re.sub(r"[ _.]+", "-", value.lower()).strip("-")
    return slug if len(slug) <= longest and re.match(r"^[a-z0-9-]+\Z", slug) else ""


def _elements(column: Column, cell: str) -> tuple[Any, ...]:
    """The values of a cell that holds several, with semicolons between them."""
    offset = 0
    seen: set[str] = set()
    for element in cell.split(";"):
        if not element:
            fix = "remove the semicolon that has nothing before or after it"
            raise Refused(f"{column.name} has an empty element", fix, offset)
        if SUSPECT.search(element):
            check_characters(column.name, element, offset)
        if element in seen:
            raise Refused(f"{column.name} has {shown(element)} twice", "remove one of the two", offset)
        seen.add(element)
        offset += len(element) + 1
    return tuple(cell.split(";"))


def check_characters(name: str, cell: str, offset: int = 0) -> None:
    """Refuses what cannot be seen, white space at an end, and full-width characters in a machine's column."""
    if match := _INVISIBLE.search(cell):
        character = match[0]
        called = unicodedata.name(character, "a control character").lower()
        what = f"{name} {shown(cell)} holds U+{ord(character):04X} ({called})"
        raise Refused(what, f"remove it: {shown(_INVISIBLE.sub('', cell))}", offset + match.start())
    if (stripped := cell.strip()) != cell:
        at = 0 if cell[:1].isspace() else len(stripped)
        what = f"{name} {shown(cell)} has white space at {'its beginning' if at == 0 else 'its end'}"
        raise Refused(what, f"write {shown(stripped)}", offset + at)
    if name not in FREE_TEXT and (match := _FULL_WIDTH.search(cell)):
        half = unicodedata.normalize("NFKC", cell)
        what = f"{name} {shown(cell)} holds the full-width character {match[0]}"
        raise Refused(what, f"write {shown(half)}", offset + match.start())
