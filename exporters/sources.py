"""What do the files of records say now? Re-read when they change; every failure keeps to its own file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import msgspec

from exporters.readings import Reading, Trouble

T = TypeVar("T")
#: How a file looked: name, modification time in ns, size, inode.
_Look = tuple[str, int, int, int]


class Parsed(NamedTuple, Generic[T]):
    """What files said, when its newest part was seen (None if there is none), and what could not be read."""

    value: T
    at: float | None
    broken: tuple[str, ...] = ()


class FileSource(Generic[T]):
    """One kind of record in one file, or in the `*.json` files of one folder.

    A value of a source that became unreadable is dropped, not kept: a frozen value looks as well as a true
    one. A value that became too old is kept and marked, so that alerts on it stay.
    """

    def __init__(
        self,
        path: Path,
        parse: Callable[[Sequence[Path]], Parsed[T]],
        max_age: float | None = None,
        pattern: str = "*.json",
        optional: bool = False,
    ) -> None:
        """Takes a file or folder and how to parse it.

        `max_age` is the age in seconds at which it is stale, `pattern` which files of a folder count, and
        `optional` lets a folder be missing: what it would hold has not happened yet.
        """
        self._pattern = pattern
        self._optional = optional
        self._path = path
        self._parse = parse
        self._max_age = max_age
        self._seen: tuple[_Look, ...] | None = None
        self.reading: Reading[T] = Reading()

    def refresh(self) -> None:
        """Looks at the files and replaces :attr:`reading` if they, or their age's verdict, changed."""
        try:
            files = self._files()
            seen = tuple(_look(file) for file in files)
        except FileNotFoundError:
            self._fail(Trouble.MISSING, f"{self._path} is not there; has its check run?")
            return
        except OSError as error:
            self._fail(Trouble.UNREADABLE, f"{error.filename or self._path}: {error.strerror}")
            return
        if seen != self._seen:
            self._seen = seen
            self._read(files)
        self._judge_age()

    def _files(self) -> list[Path]:
        if self._path.is_dir():
            files = self._path.glob(self._pattern)
            return sorted(file for file in files if file.is_file() and not file.name.startswith("."))
        return [] if self._optional and not self._path.exists() else [self._path]

    def _read(self, files: list[Path]) -> None:
        begun = time.perf_counter()
        try:
            parsed = self._parse(files)
        except FileNotFoundError as error:
            self._fail(Trouble.MISSING, f"{error.filename} is not there; has its check run?")
        except OSError as error:
            self._fail(Trouble.UNREADABLE, f"{error.filename or self._path}: {error.strerror}")
        except (msgspec.DecodeError, ValueError) as error:
            self._fail(Trouble.INVALID, f"{self._path}: {error}")
        else:
            trouble = Trouble.INVALID if parsed.broken else None
            message = "; ".join(parsed.broken)
            seconds = time.perf_counter() - begun
            self.reading = Reading(parsed.value, parsed.at, time.time(), seconds, trouble, message)

    def _fail(self, trouble: Trouble, message: str) -> None:
        if trouble is not Trouble.INVALID:
            self._seen = None  # look again next time: permissions change without a change of the file
        if (self.reading.trouble, self.reading.message) != (trouble, message):
            self.reading = Reading(read_at=self.reading.read_at, trouble=trouble, message=message)

    def _judge_age(self) -> None:
        reading = self.reading
        if self._max_age is None or reading.at is None or reading.trouble not in (None, Trouble.STALE):
            return
        age = time.time() - reading.at
        trouble = Trouble.STALE if age > self._max_age else None
        if trouble != reading.trouble:
            message = f"{self._path}: the newest record is older than {self._max_age:g} s" if trouble else ""
            self.reading = Reading(
                reading.value, reading.at, reading.read_at, reading.seconds, trouble, message
            )


def _look(path: Path) -> _Look:
    status = path.stat()
    return str(path), status.st_mtime_ns, status.st_size, status.st_ino
