"""The OpenPGP key that signs the package mirror: made once on the controller, kept in its secret store."""

from __future__ import annotations

import subprocess
import tempfile

from deploy.secrets import SecretStore

#: Who the key says it is; apt shows it when a signature does not verify.
USER_ID = "jizuo package mirror"
#: Names in the secret store.
PRIVATE, PUBLIC = "mirror-signing-key.asc", "mirror-signing-key.pub.asc"


class MirrorKeyError(Exception):
    """The key could not be made or read; the message says why and what to do."""


def mirror_public_key(store: SecretStore) -> str:
    """The public key, ASCII-armoured (RFC 4880 section 6.2), as apt's `Signed-By` takes it.

    Raises:
        MirrorKeyError: gpg is missing, or refuses.
    """
    private = mirror_private_key(store)
    return store.get(PUBLIC, lambda: _public_of(private)).decode("ascii")


def mirror_private_key(store: SecretStore) -> bytes:
    """The private key, ASCII-armoured: Ed25519, may only sign, no passphrase (its file is 0600).

    Raises:
        MirrorKeyError: gpg is missing, or refuses.
    """
    return store.get(PRIVATE, _make)


def mirror_fingerprint(store: SecretStore) -> str:
    """The key's fingerprint, 40 hexadecimal digits.

    Raises:
        MirrorKeyError: gpg is missing, or refuses.
    """
    public = mirror_public_key(store).encode("ascii")
    with tempfile.TemporaryDirectory(prefix="jizuo-gpg-") as home:
        shown = _gpg(home, "--with-colons", "--show-keys", input=public).decode("ascii")
    fields = next(line.split(":") for line in shown.splitlines() if line.startswith("fpr:"))
    return fields[9]


def _make() -> bytes:
    with tempfile.TemporaryDirectory(prefix="jizuo-gpg-") as home:
        try:
            # No passphrase: the mirror signs without a person. No end: hosts that were off still trust it.
            _gpg(home, "--passphrase-fd", "0", "--quick-generate-key", USER_ID, "ed25519", "sign", "never")
            return _gpg(home, "--armor", "--export-secret-keys")
        finally:
            _end_agent(home)


def _public_of(private: bytes) -> bytes:
    with tempfile.TemporaryDirectory(prefix="jizuo-gpg-") as home:
        try:
            _gpg(home, "--import", input=private)
            return _gpg(home, "--armor", "--export")
        finally:
            _end_agent(home)


def _gpg(home: str, *arguments: str, input: bytes = b"") -> bytes:
    command = [
        "gpg",
        "--homedir",
        home,
        "--batch",
        "--no-tty",
        "--quiet",
        "--pinentry-mode",
        "loopback",
        *arguments,
    ]
    try:
        done = subprocess.run(command, input=input, capture_output=True, check=False, timeout=60)
    except FileNotFoundError:
        raise MirrorKeyError("gpg is not installed on this machine; run: apt-get install gnupg") from None
    except subprocess.TimeoutExpired:
        raise MirrorKeyError(f"gpg {arguments[-1]} did not end within 60 s") from None
    if done.returncode:
        complaint = " | ".join(done.stderr.decode(errors="replace").strip().splitlines())
        raise MirrorKeyError(f"gpg failed ({done.returncode}): {complaint}")
    return done.stdout


def _end_agent(home: str) -> None:
    """End the agent that gpg started for this folder; it would outlive it."""
    subprocess.run(
        ["gpgconf", "--homedir", home, "--kill", "gpg-agent"], capture_output=True, check=False, timeout=30
    )
