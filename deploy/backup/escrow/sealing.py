"""Who can open a kit? Seals it by age (age-encryption.org/v1) for keys or a passphrase, and opens it.

By pyrage, the Python binding of rage: it works in memory, where the program `age` would want the passphrase typed
at a terminal. What it writes is age's own format, so that Debian's `age` opens the kit where nothing else is.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import pyrage  # type: ignore[import-untyped]  # it has no py.typed
from pyrage import passphrase, ssh, x25519

#: NIST SP 800-63B asks for 8 characters of what a service limits the guesses of; a kit can be guessed at offline,
#: slowed down by scrypt alone: six words of a list (EFF's has 7,776) are 77 bits.
SHORTEST_PASSPHRASE = 20
#: How long to wait before a kit is tried again that rage found too much work, seconds.
PAUSES = (0.2, 1.0, 3.0)


class SealError(Exception):
    """A kit cannot be sealed or opened; the message says why and never holds a secret."""


def seal(content: bytes, recipients: Sequence[str]) -> bytes:
    """Encrypt for the holders of keys: age's own public keys (`age1...`), or SSH's.

    Raises:
        SealError: a recipient is none.
    """
    found = [_recipient(text) for text in recipients]
    if not found:
        raise SealError("nobody could open it: name a recipient")
    return bytes(pyrage.encrypt(content, found))


def _recipient(text: str) -> x25519.Recipient | ssh.Recipient:
    if text.upper().startswith("AGE-SECRET-KEY-"):
        raise SealError("a recipient is a public key (age1...); a secret key was given, which now is in the history "
                        "of your shell: make another")  # fmt: skip
    try:
        return ssh.Recipient.from_str(text) if text.startswith("ssh-") else x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        raise SealError(
            f"{text[:24]}: no public key of age (age1...) and none of SSH (ssh-ed25519 ...)"
        ) from None


def seal_by_passphrase(content: bytes, words: str) -> bytes:
    """Encrypt by a passphrase.

    Raises:
        SealError: it is too short.
    """
    if len(words) < SHORTEST_PASSPHRASE:
        raise SealError(
            f"the passphrase has {len(words)} characters; {SHORTEST_PASSPHRASE} at least, as six words from a list"
        )
    return bytes(passphrase.encrypt(content, words))


def open_by_identity(sealed: bytes, file: Path) -> bytes:
    """Decrypt with a private key: an identity file of age, or a private key of SSH without passphrase.

    Raises:
        SealError: the key does not open it, or is none.
        OSError: the file cannot be read.
    """
    text = file.read_bytes()
    if b"AGE-SECRET-KEY-" in text:
        lines = [line.strip() for line in text.decode("ascii", "replace").splitlines()]
        keys = [line for line in lines if line and not line.startswith("#")]
        identities: Sequence[x25519.Identity | ssh.Identity] = [_identity(file, key) for key in keys]
    else:
        try:
            identities = [ssh.Identity.from_buffer(text)]
        except pyrage.IdentityError:
            raise SealError(f"{file} holds no private key of age and none of SSH") from None
    try:
        return bytes(pyrage.decrypt(sealed, identities))
    except pyrage.DecryptError as error:
        raise SealError(f"{file} does not open it: {error}") from None


def _identity(file: Path, key: str) -> x25519.Identity:
    try:
        return x25519.Identity.from_str(key)
    except pyrage.IdentityError:
        raise SealError(f"{file}: a line is no private key of age") from None


def open_by_passphrase(sealed: bytes, words: str) -> bytes:
    """Decrypt by a passphrase.

    rage refuses a kit that would take it more than some 16 seconds, by how long a small sum took it just now: on a
    machine that is held up in that moment it refuses every kit. So it is asked again.

    Raises:
        SealError: it is another one, or this machine is much slower than the one that sealed it.
    """
    for pause in (*PAUSES, None):
        try:
            return bytes(passphrase.decrypt(sealed, words))
        except pyrage.DecryptError as error:
            if "xcessive work" not in str(error):
                raise SealError(f"the passphrase does not open it: {error}") from None
        if pause is not None:
            time.sleep(pause)
    raise SealError(
        "to open it takes more work than this machine seems fit for now; try again when it is less busy, or on a "
        "faster one, or with `age --decrypt`"
    )
