"""Which characters do the bytes of an inventory file stand for?

Inventory files are UTF-8 without a byte-order mark. What Chinese spreadsheets save instead is recognised,
named, and read on with, so that the other errors of the file are reported in the same run.
"""

from __future__ import annotations

import codecs
import shlex
from pathlib import Path

from inventories.problems import Problem

_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_text(path: Path) -> tuple[str | None, list[Problem]]:
    """Reads a file of the inventory.

    Args:
        path: the file; it must be a regular file.

    Returns:
        The text, None when no text could be made of the bytes, and what is wrong with the file.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        fix = f"make it readable for this account: chmod u+r {shlex.quote(str(path))}"
        return None, [Problem(str(path), 1, 1, f"the file cannot be read: {reason}", fix)]
    if not raw.removeprefix(codecs.BOM_UTF8).strip():
        return None, [
            Problem(str(path), 1, 1, "the file is empty", "write its header and rows, or remove it")
        ]
    if raw.startswith(codecs.BOM_UTF8):
        return _with_mark(path, raw[len(codecs.BOM_UTF8) :])
    if raw.startswith(_UTF16_MARKS) or b"\0" in raw:
        return _utf16(path, raw)
    try:
        return raw.decode(), []
    except UnicodeDecodeError as error:
        return _not_utf8(path, raw, error)


def _with_mark(path: Path, raw: bytes) -> tuple[str | None, list[Problem]]:
    mark = Problem(
        str(path),
        1,
        1,
        "the file begins with a byte-order mark (U+FEFF), as spreadsheets write it",
        f"remove it: sed -i '1s/^\\xef\\xbb\\xbf//' {shlex.quote(str(path))}",
    )
    try:
        return raw.decode(), [mark]
    except UnicodeDecodeError as error:
        text, problems = _not_utf8(path, raw, error)
        return text, [mark, *problems]


def _utf16(path: Path, raw: bytes) -> tuple[str | None, list[Problem]]:
    if raw.startswith(_UTF16_MARKS):
        encoding = "utf-16"
    else:  # without a mark: ASCII characters leave their NUL bytes before or after them
        encoding = "utf-16-le" if raw[1::2].count(0) >= raw[::2].count(0) else "utf-16-be"
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        text = ""
    if "\0" in text or "\n" not in text:
        line, column = _end_position(raw[: raw.find(b"\0")].decode("utf-8", "replace"))
        what = "the file holds NUL bytes: it is no text"
        return None, [Problem(str(path), line, column, what, "write it as UTF-8 text")]
    return text, [_conversion(path, 1, 1, "UTF-16", encoding.upper().replace("16-", "16"))]


def _not_utf8(path: Path, raw: bytes, error: UnicodeDecodeError) -> tuple[str | None, list[Problem]]:
    line, column = _end_position(raw[: error.start].decode())
    damaged = raw.decode("utf-8", "replace")
    wrong = damaged.count("�")
    right = sum(character > "\x7f" for character in damaged) - wrong
    # GB18030 text rarely happens to hold valid UTF-8 sequences; a UTF-8 file with a damaged place holds many.
    if right <= wrong:
        try:
            return raw.decode("gb18030"), [
                _conversion(path, line, column, "GB18030 (GBK, what Chinese Windows calls ANSI)", "GB18030")
            ]
        except UnicodeDecodeError:
            pass
    what = f"byte 0x{raw[error.start]:02x} is not UTF-8, nor is the whole file GB18030 or UTF-16"
    return None, [Problem(str(path), line, column, what, "replace the damaged character and save as UTF-8")]


def _conversion(path: Path, line: int, column: int, name: str, encoding: str) -> Problem:
    here, there = shlex.quote(str(path)), shlex.quote(str(path.with_name(path.name + ".utf8")))
    fix = f"convert it: iconv -f {encoding} -t UTF-8 {here} >{there} && mv {there} {here}"
    return Problem(str(path), line, column, f"the file is {name}, not UTF-8", fix)


def _end_position(text: str) -> tuple[int, int]:
    """Line and column, from 1, of what follows `text`."""
    return text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1
