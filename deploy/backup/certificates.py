"""The backup servers' and clients' certificates, and their authority: made once on the controller.

An authority of its own, which the backup clients alone trust and which signs nothing else: X.509 v3 after
RFC 5280, keys on curve P-256 (RFC 5480), names and addresses as subject alternative names (RFC 9525).
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.secrets import SecretStore

AUTHORITY = "backup-authority.pem"
#: No deploy decides by the clock, so nothing is renewed by itself: a certificate lasts as long as its
#: authority, and both are replaced by removing their files from the secret store and deploying.
LIFETIME = timedelta(days=3650)
#: A client whose clock is slow still accepts a certificate that was just made.
SLACK = timedelta(days=1)


_EXTENDED: dict[str, x509.ObjectIdentifier] = {
    "server": ExtendedKeyUsageOID.SERVER_AUTH,
    "client": ExtendedKeyUsageOID.CLIENT_AUTH,
}


class KeyPair(NamedTuple):
    """A certificate and its private key, both PEM."""

    certificate: str
    key: str


def authority(store: SecretStore) -> KeyPair:
    """The backup servers' authority."""
    return _split(store.get(AUTHORITY, _make_authority))


class Usage(StrEnum):
    """What a certificate may be shown for."""

    SERVER = "server"
    CLIENT = "client"


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
    """A node's certificate for one purpose, which says the node's name and nothing of other purposes.

    `alternatives` are names and plain addresses; a client's needs none: its server knows it by the node's name.
    """
    named = [*sorted({one for one in alternatives if not _is_address(one)})]
    named += sorted({one for one in alternatives if _is_address(one)})
    signer = authority(store)
    made_of = hashlib.sha256("\n".join([signer.certificate, *named]).encode()).hexdigest()[:12]
    return _split(
        store.get(f"{purpose}-{node}-{made_of}.pem", lambda: _make_certificate(signer, usage, node, named))
    )


def _make_authority() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name("jizuo backup authority")
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SLACK)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _join(certificate, key)


def _make_certificate(signer: KeyPair, usage: Usage, node: str, alternatives: list[str]) -> bytes:
    signer_key = serialization.load_pem_private_key(signer.key.encode(), None)
    if not isinstance(signer_key, ec.EllipticCurvePrivateKey):
        raise TypeError(f"{AUTHORITY} in the secret store holds no key on an elliptic curve")
    signer_certificate = x509.load_pem_x509_certificate(signer.certificate.encode())
    key = ec.generate_private_key(ec.SECP256R1())
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(node))
        .issuer_name(signer_certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(signer_certificate.not_valid_before_utc)
        .not_valid_after(signer_certificate.not_valid_after_utc)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([_EXTENDED[usage]]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer_key.public_key()), critical=False
        )
    )
    if alternatives:
        names = x509.SubjectAlternativeName([_alternative(one) for one in alternatives])
        builder = builder.add_extension(names, critical=False)
    return _join(builder.sign(signer_key, hashes.SHA256()), key)


def _is_address(text: str) -> bool:
    return isinstance(_alternative(text), x509.IPAddress)


def _alternative(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _join(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Both in one secret, so that they always belong together."""
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _split(pem: bytes) -> KeyPair:
    certificate, mark, key = pem.decode("ascii").partition("-----BEGIN PRIVATE KEY-----")
    return KeyPair(certificate, mark + key)
