"""How much memory does restic need for a run in which nothing is new?

By itself it takes twice what it holds at most (Go collects when the heap has doubled), and that is when it derives its
key, at the start. What it really needs is known here: so Go is told to stay below that (GOMEMLIMIT), which leaves room
for this job beside it, and collects no more often than by itself.
"""

from __future__ import annotations

import glob
import os

MIB = 1 << 20
#: Of the key's derivation (scrypt of 32 MiB) and of restic itself, and for each processor, bytes.
ITSELF, PROCESSOR = 44 * MIB, 2 * MIB
#: The index in memory, for each byte of it in the cache, where it is compressed.
INDEX = 4
#: One file's entry in the folder that restic is at: as it was, as it is, and both as JSON, bytes.
ENTRY = 2560
#: The same for each piece of a file, of which restic makes none smaller than this, bytes.
PIECE, SMALLEST_PIECE = 300, 512 * 1024


def enough(cache_folder: str, fullest: int, total_bytes: int) -> int:
    """Bytes that do for a run with nothing new; 0 where that is not known, and restic is left to itself.

    Generous: of 100,000 files in a thousand folders restic needs 48 MiB (here 64), in one folder 230 MiB (308). With
    less than it needs, collecting takes up to half of its time.

    Args:
        cache_folder: restic's own, with the index of each repository in `REPOSITORY/index/XX/ID`.
        fullest: Files in the folder that has most of them.
        total_bytes: Of all files.
    """
    caches = os.path.join(glob.escape(cache_folder), "*", "index", "*", "*")
    index = sum(_size(path) for path in glob.glob(caches))
    if not index:
        return 0
    itself = ITSELF + PROCESSOR * (os.cpu_count() or 1)
    return itself + INDEX * index + ENTRY * fullest + PIECE * (total_bytes // SMALLEST_PIECE)


def _size(path: str) -> int:
    """The bytes of a file; of one that another policy's restic has just removed, none."""
    try:
        return os.path.getsize(path)
    except OSError:
        return 0
