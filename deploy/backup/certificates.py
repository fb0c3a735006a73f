"""The backup servers' and clients' certificates: of an authority that the backup clients alone trust."""

from __future__ import annotations

from collections.abc import Iterable

from deploy import certificates
from deploy.certificates import Authority, KeyPair, Usage
from deploy.secrets import SecretStore

AUTHORITY = Authority("backup-authority.pem", "jizuo backup authority")

__all__ = ["AUTHORITY", "KeyPair", "Usage", "authority", "certificate", "server_certificate"]


def authority(store: SecretStore) -> KeyPair:
    """The backup servers' authority."""
    return certificates.authority_pair(store, AUTHORITY)


def server_certificate(
    store: SecretStore, node: str, names: Iterable[str], addresses: Iterable[str]
) -> KeyPair:
    """The certificate of one backup server; another one when its names, addresses or authority change.

    `addresses` are plain, of both families.
    """
    return certificate(store, "backup-server", Usage.SERVER, node, (*names, *addresses))


def certificate(
    store: SecretStore, purpose: str, usage: Usage, node: str, alternatives: Iterable[str] = ()
) -> KeyPair:
    """As :func:`deploy.certificates.certificate`, of the backups' authority."""
    return certificates.certificate(store, AUTHORITY, purpose, usage, node, alternatives)
