"""How far is a restore? Tells it in lines, from what stands on the disk: restic before 0.17 does not say."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

#: Seconds between two lines; more where counting what is there takes long.
EVERY = 5.0
#: Counting may take one part of so many of the time.
SHARE = 20


@contextlib.contextmanager
def progress(folder: str, files: int, total_bytes: int, say: Callable[[str], None]) -> Iterator[None]:
    """Say now and then how much of so many files and bytes is in the folder, until the block ends."""
    say(f"restoring {files} files of {total_bytes} bytes")
    ended = threading.Event()

    def watch() -> None:
        pause = EVERY
        while not ended.wait(pause):
            began = time.monotonic()
            there, found = _held(folder)
            pause = max(EVERY, SHARE * (time.monotonic() - began))
            part = 100 * found // total_bytes if total_bytes else 100
            with contextlib.suppress(OSError):  # whoever asked has gone; the restore itself will notice
                say(f"{part} %: {there} files of {found} bytes are there")

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
        say("compared with the manifest")
    finally:
        ended.set()
        watcher.join()


def _held(folder: str) -> tuple[int, int]:
    """Files below a folder, and their bytes; what goes meanwhile is passed over."""
    files = size = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                size += os.lstat(os.path.join(parent, name)).st_size
                files += 1
    return files, size
