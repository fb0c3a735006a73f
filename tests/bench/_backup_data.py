"""The files that are backed up in a benchmark: the same bytes under the same names whenever they are made."""

from __future__ import annotations

import random
from pathlib import Path
from typing import NamedTuple

KIB, MIB = 1024, 1024**2


class Kind(NamedTuple):
    """A kind of file: which part of all bytes it makes up, its smallest and largest size, whether it is text."""

    folder: str
    part: float
    smallest: int
    largest: int
    text: bool


#: What an office's file server and its databases' dumps hold. Text compresses to half, the rest not at all.
MIXED = (
    Kind("dumps", 0.35, 48 * MIB, 128 * MIB, True),
    Kind("scans", 0.40, 200 * KIB, 8 * MIB, False),
    Kind("documents", 0.15, 20 * KIB, 600 * KIB, False),
    Kind("tables", 0.08, 2 * KIB, 200 * KIB, True),
    Kind("records", 0.02, 100, 8 * KIB, True),
)
FILES_IN_A_FOLDER = 100


def mixed(folder: Path, total_bytes: int) -> int:
    """Make mixed files of so many bytes together; how many."""
    made = 0
    for kind in MIXED:
        chosen = random.Random(kind.folder)
        left, number = int(kind.part * total_bytes), 0
        while left > 0:
            # Small ones are many and large ones few, as anywhere.
            size = int(kind.smallest * (kind.largest / kind.smallest) ** chosen.random())
            size = min(size, left)
            parent = folder / kind.folder / f"{number // FILES_IN_A_FOLDER:04}"
            parent.mkdir(parents=True, exist_ok=True)
            with (parent / f"{number:06}").open("wb") as file:
                for begin in range(0, size, MIB):
                    file.write(content(chosen, min(MIB, size - begin), kind.text))
            left, number = left - size, number + 1
        made += number
    return made


def content(chosen: random.Random, size: int, text: bool) -> bytes:
    """So many bytes that come nowhere else."""
    return chosen.randbytes(size // 2 + 1).hex().encode()[:size] if text else chosen.randbytes(size)


def many(folder: Path, files: int, in_a_folder: int = FILES_IN_A_FOLDER) -> int:
    """Make so many small files, so many of them in a folder; their bytes together."""
    chosen, total = random.Random(files), 0
    for number in range(files):
        parent = folder / f"{number // (100 * in_a_folder):02}" / f"{number // in_a_folder % 100:02}"
        if number % in_a_folder == 0:
            parent.mkdir(parents=True, exist_ok=True)
        size = chosen.randrange(200, 6000)
        (parent / f"{number:06}.json").write_bytes(content(chosen, size, text=True))
        total += size
    return total
