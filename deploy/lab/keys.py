"""The lab's SSH identities: host keys that are pinned before the first connection, and the accounts' keys."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from deploy.lab.places import Places

#: The account that deploys, and the one that audits (forced command, nothing else).
ACCOUNTS = ("deploy", "audit")


def private_write(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Write a file that nobody else can read at any moment, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    scratch = path.with_name(f".{path.name}.new")
    scratch.unlink(missing_ok=True)
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    scratch.replace(path)


def ensure_key(path: Path, comment: str) -> str:
    """Make an Ed25519 key pair (OpenSSH's format, 0600) unless it is there; return the public line."""
    public = path.with_suffix(".pub")
    if not (path.exists() and public.exists()):
        key = Ed25519PrivateKey.generate()
        private_write(
            path,
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
            ),
        )
        line = key.public_key().public_bytes(
            serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
        )
        private_write(public, line + b" " + comment.encode() + b"\n", 0o644)
    return public.read_text(encoding="ascii").strip()


def write_ssh_files(places: Places, hosts: Mapping[str, tuple[str, str]]) -> None:
    """Write known_hosts and ssh_config; `hosts` maps a name to its management addresses (IPv4, IPv6)."""
    lines = []
    blocks = []
    for name, (ipv4, ipv6) in hosts.items():
        public = ensure_key(places.host(name) / "ssh_host_ed25519_key", name).split()
        lines.append(f"{name},{ipv4},{ipv6} {public[0]} {public[1]}")
        blocks.append(f"Host {name} {ipv4}\n    HostName {ipv4}\n    HostKeyAlias {name}\n")
    private_write(places.known_hosts, ("\n".join(lines) + "\n").encode())
    common = (
        "Host *\n"
        "    User deploy\n"
        f"    IdentityFile {places.keys / 'deploy'}\n"
        "    IdentitiesOnly yes\n"
        f"    UserKnownHostsFile {places.known_hosts}\n"
        "    GlobalKnownHostsFile /dev/null\n"
        "    StrictHostKeyChecking yes\n"
        "    BatchMode yes\n"
        "    ConnectTimeout 5\n"
        "    ServerAliveInterval 5\n"
        "    ServerAliveCountMax 3\n"
    )
    private_write(places.ssh_config, ("\n".join(blocks) + "\n" + common).encode())
