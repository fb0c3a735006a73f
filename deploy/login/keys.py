"""Certificates and logins of monitoring: an authority of its own, a password for people and one for programs.

All made once on the controller and kept in its secret store; to replace one, remove its file there and deploy.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple

import bcrypt

from deploy.certificates import Authority, KeyPair, Usage, authority_pair, certificate
from deploy.secrets import SecretStore
from inventories.hosts import HostData
from inventories.monitoring import PEOPLE, PROGRAMS

AUTHORITY = Authority("monitoring-authority.pem", "jizuo monitoring authority")
#: How a host's own programs name it.
LOOPBACK = ("localhost", "127.0.0.1", "::1")


class Login(NamedTuple):
    """How a person reads monitoring from the controller: files of its secret store, and a user."""

    ca: Path
    user: str
    password_file: Path


def trusted(store: SecretStore) -> str:
    """The authority's certificate, which is no secret."""
    return authority_pair(store, AUTHORITY).certificate


def server(store: SecretStore, data: HostData, purpose: str) -> KeyPair:
    """What daemons of a host show under each of its names and addresses, of both families."""
    names = (data.name, data.fqdn, *LOOPBACK, *data.management.values(), *data.service.values())
    return certificate(store, AUTHORITY, f"{purpose}-server", Usage.SERVER, data.name, names)


def scraper(store: SecretStore, data: HostData) -> KeyPair:
    """What a host's Prometheus shows to node exporters."""
    return certificate(store, AUTHORITY, "monitoring-scraper", Usage.CLIENT, data.name)


def cluster(store: SecretStore, data: HostData) -> KeyPair:
    """What an Alertmanager shows to the others."""
    addresses = data.management.values()
    return certificate(store, AUTHORITY, "alertmanager-cluster", Usage.PEER, data.name, addresses)


def password(store: SecretStore, user: str) -> str:
    """A user's password."""
    return store.password(f"monitoring-login-{user}")


def password_hashes(store: SecretStore, *more: str) -> dict[str, str]:
    """Of people and programs, and of each other user, the bcrypt hash, as web.yml has it; a new password a new one."""
    return {user: _hash(store, user) for user in (PEOPLE, PROGRAMS, *more)}


def _hash(store: SecretStore, user: str) -> str:
    secret = password(store, user).encode()
    name = f"monitoring-hash-{user}-{hashlib.sha256(secret).hexdigest()[:12]}"
    return store.get(name, lambda: bcrypt.hashpw(secret, bcrypt.gensalt(10))).decode("ascii")


def login(store: SecretStore) -> Login:
    """The login of people, with the authority's certificate in a file of its own, apart from its key."""
    certificate = trusted(store).encode()
    # Named by its content: what another authority left is never taken for this one's.
    file = f"monitoring-authority-{hashlib.sha256(certificate).hexdigest()[:12]}.crt"
    store.get(file, lambda: certificate)
    password(store, PEOPLE)
    return Login(store.folder / file, PEOPLE, store.folder / f"monitoring-login-{PEOPLE}")
