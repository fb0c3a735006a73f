"""How do files reach a folder whole? Each is written beside its place and renamed when it differs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple


class Written(NamedTuple):
    """Which files were new or differed, and which stood there already; names relative to the folder."""

    changed: tuple[str, ...]
    unchanged: tuple[str, ...]


def write_files(directory: Path, files: Mapping[str, str]) -> Written:
    """Write the files, UTF-8 and with their line ends as they are, into the folder, which is made if missing.

    A reader sees each file old or new, never half; a file that has the same content already is not touched.

    Raises:
        OSError: the folder or a file cannot be written; files renamed before stay.
    """
    changed: list[str] = []
    unchanged: list[str] = []
    for name, text in files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        (changed if write_file(path, text) else unchanged).append(name)
    return Written(tuple(changed), tuple(unchanged))


def write_file(path: Path, text: str) -> bool:
    """Write one file by rename, keeping its mode when it is there; answer whether that changed it.

    Raises:
        OSError: it cannot be written.
    """
    content = text.encode()
    path = path.resolve()  # a symbolic link stays one
    try:
        if path.read_bytes() == content:
            return False
        mode = path.stat().st_mode & 0o7777
    except FileNotFoundError:
        mask = os.umask(0o022)
        os.umask(mask)
        mode = 0o666 & ~mask
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    scratch = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        scratch.replace(path)
    except BaseException:
        scratch.unlink(missing_ok=True)
        raise
    return True
