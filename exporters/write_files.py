"""Puts files into a folder that another program watches: only what differs, each whole, by rename."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def differing(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """The names of files that the folder lacks or holds with another content.

    Raises:
        OSError: A file is there and cannot be read.
    """
    return [name for name, content in files.items() if _content(folder / name) != content]


def write_files(folder: Path, files: Mapping[str, bytes]) -> list[str]:
    """Writes the files that differ; a reader sees the old one or the new one, never a part.

    Returns:
        The names of the files that were written.

    Raises:
        OSError: The folder cannot be written, or the disk is full; what is not yet renamed stays as it was.
    """
    changed = differing(folder, files)
    for name in changed:
        _write(folder / name, files[name])
    return changed


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, beside = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o644)  # Prometheus reads it under an account of its own
        Path(beside).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(beside).unlink()
        raise
