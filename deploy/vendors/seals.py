"""Is the password that a device shows enciphered the one that it shall have? What the controller remembers of it.

After a push the ciphertext that the device displays is noted beside the password, as a keyed digest: who reads the
file learns neither. A line whose ciphertext is another, because somebody changed it, or because the password is
another now, is sent again. The file is the controller's, 0600 in its state folder.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from pathlib import Path

import msgspec

from deploy.lab.keys import private_write
from deploy.vendors.difference import Configuration, Fingerprint, peers


def seal(password: str, peer: str, ciphertext: str) -> str:
    """The digest that says: this ciphertext is what the device made of this password for this peer."""
    return hmac.new(password.encode(), f"{peer} {ciphertext}".encode(), hashlib.sha256).hexdigest()


def seals_file(state: Path, node: str) -> Path:
    """Where the controller keeps a router's seals."""
    return state / "routers" / f"{node}.seals.json"


def read_seals(path: Path) -> dict[str, str]:
    """The seals of a router by peer, none before its first push."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, str])
    except FileNotFoundError:
        return {}


def write_seals(path: Path, shown: Configuration, passwords: Mapping[str, str]) -> None:
    """Note what the device shows now, after it took the passwords (by peer)."""
    kept = {peer: seal(passwords[peer], peer, text) for peer, text in peers(shown) if peer in passwords}
    private_write(path, msgspec.json.encode(kept))


def as_shown(passwords: Mapping[str, str], seals: Mapping[str, str]) -> Fingerprint:
    """The comparable form of a displayed password: its own where the seal holds, and else one of its ciphertext."""

    def fingerprint(peer: str, ciphertext: str) -> str:
        password = passwords.get(peer)
        if password and hmac.compare_digest(seal(password, peer, ciphertext), seals.get(peer, "")):
            return "as-wanted"
        return hashlib.sha256(ciphertext.encode()).hexdigest()[:16]

    return fingerprint


def as_wanted(peer: str, password: str) -> str:
    """The comparable form of a password that shall be set."""
    return "as-wanted"


def as_it_is(peer: str, ciphertext: str) -> str:
    """The comparable form of a ciphertext that shall come back as it was."""
    return hashlib.sha256(ciphertext.encode()).hexdigest()[:16]
