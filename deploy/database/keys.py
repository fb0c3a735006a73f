"""Keys of databases' repositories: a passphrase of each, and a certificate for each party of pgBackRest's TLS."""

from __future__ import annotations

from deploy.backup.certificates import KeyPair, Usage, certificate
from deploy.secrets import SecretStore
from inventories.hosts import HostData


def passphrase(store: SecretStore, repository: str, stanza: str) -> str:
    """What encrypts a cluster's backups and log in the repository of one node: another one in each."""
    return store.password(f"database-repository-{repository}-{stanza}")


def sender(store: SecretStore, data: HostData) -> KeyPair:
    """With which a database's node logs in to a repository: to add to its log and to read its backups."""
    return sender_of(store, data.name)


def sender_of(store: SecretStore, node: str) -> KeyPair:
    """As :func:`sender`, of a node that only its name is known of."""
    return certificate(store, "database-sender", Usage.CLIENT, node)


def receiver(store: SecretStore, data: HostData) -> KeyPair:
    """Which a repository's node shows to senders."""
    return certificate(store, "database-receiver", Usage.SERVER, data.name, _names(data))


def keeper(store: SecretStore, data: HostData) -> KeyPair:
    """With which a repository's node logs in to a database's node to pull a backup."""
    return certificate(store, "database-keeper", Usage.CLIENT, data.name)


def source(store: SecretStore, data: HostData) -> KeyPair:
    """Which a database's node shows to keepers."""
    return certificate(store, "database-source", Usage.SERVER, data.name, _names(data))


def _names(data: HostData) -> tuple[str, ...]:
    return (data.fqdn, data.name, *data.service.values())
