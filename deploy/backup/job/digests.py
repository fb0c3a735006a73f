"""By which digest is the content of files compared? XXH128 where its library is, else SHA-256."""

from __future__ import annotations

import os
import threading
from typing import Any

from .restic import JobError

try:
    from xxhash import xxh3_128
except ImportError:  # not installed, or older than XXH3
    xxh3_128 = None  # type: ignore[assignment,misc,unused-ignore]

#: Hexadecimal digits of either digest: what tells them apart, in a manifest that may hold both.
#: XXH128 is XXH3's of 128 bits (xxHash 0.8), in its canonical form, big-endian, as xxh128sum(1) prints it.
XXH128_DIGITS, SHA256_DIGITS = 32, 64
#: Bytes that are read at once: what stays in a processor's own cache from the reading to the hashing.
CHUNK = 256 * 1024
#: Each thread that reads has a room of its own to read into.
_ROOM = threading.local()
_TO_READ = os.O_RDONLY | os.O_CLOEXEC


def digits() -> int:
    """How many digits the digests have that are taken here.

    The manifest is a second look at what restic stored: it has to find errors, of a disk, of restic, of this job, and
    128 bits find them as surely as 256 do. Against people there is restic's own SHA-256 of all content, and its
    repository's encryption, which no one passes by without the key. SHA-256 of every byte once more took as much of
    the processor as a twentieth of the whole backup; XXH128 takes a tenth of that.
    """
    return SHA256_DIGITS if xxh3_128 is None else XXH128_DIGITS


def begun(wanted: int) -> Any:
    """A digest of so many digits that has seen nothing yet, as hashlib's are.

    Raises:
        JobError: `no_program`, this host has no library for it.
    """
    if wanted == SHA256_DIGITS:
        import hashlib  # with it comes OpenSSL, a megabyte that XXH128 does not need

        return hashlib.sha256()
    if xxh3_128 is None:
        raise JobError("no_program", "the manifest has XXH128 digests; install python3-xxhash")
    return xxh3_128()


def digest_of(path: bytes, wanted: int) -> str:
    """The digest of a file's content, of so many digits.

    Raises:
        OSError: it cannot be read.
        JobError: as :func:`begun`.
    """
    digest = begun(wanted)
    room = getattr(_ROOM, "room", None)
    if room is None:
        room = _ROOM.room = memoryview(bytearray(CHUNK))
    file = os.open(path, _TO_READ)
    try:
        count = os.readv(file, [room])
        while count:
            digest.update(room[:count])
            # Less than was asked for may be the end, or not (a file system of the network): only nothing is.
            count = os.readv(file, [room])
    finally:
        os.close(file)
    found: str = digest.hexdigest()
    return found
