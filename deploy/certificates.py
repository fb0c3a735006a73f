"""Certificates and the authorities that sign them: made once on the controller, kept among its secrets.

X.509 v3 after RFC 5280, keys on curve P-256 (RFC 5480), names and addresses as subject alternative names (RFC 9525).
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

#: No deploy decides by the clock, so nothing is renewed by itself: a certificate lasts as long as its
#: authority, and both are replaced by removing their files from the secret store and deploying.
LIFETIME = timedelta(days=3650)
#: A client whose clock is slow still accepts a certificate that was just made.
SLACK = timedelta(days=1)


_EXTENDED: dict[str, list[x509.ObjectIdentifier]] = {
    "server": [ExtendedKeyUsageOID.SERVER_AUTH],
    "client": [ExtendedKeyUsageOID.CLIENT_AUTH],
    "peer": [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH],
}


class Authority(NamedTuple):
    """Who signs for one purpose, so that who trusts it trusts nothing else.

    Attributes:
        secret: The name of its certificate and key in the secret store.
        name: Its common name.
    """

    secret: str
    name: str


class KeyPair(NamedTuple):
    """A certificate and its private key, both PEM."""

    certificate: str
    key: str


class Usage(StrEnum):
    """What a certificate may be shown for."""

    SERVER = "server"
    CLIENT = "client"
    #: To each other, by those of which each asks the others.
    PEER = "peer"


def authority_pair(store: SecretStore, authority: Authority) -> KeyPair:
    """An authority's certificate and key."""
    return _split(store.get(authority.secret, lambda: _make_authority(authority.name)))


def certificate(
    store: SecretStore,
    authority: Authority,
    purpose: str,
    usage: Usage,
    node: str,
    alternatives: Iterable[str] = (),
) -> KeyPair:
    """A node's certificate for one purpose, which says the node's name and nothing of other purposes.

    `alternatives` are names and plain addresses; a client's needs none: its server knows it by the node's name.
    It is another one when these or the authority change.
    """
    named = [*sorted({one for one in alternatives if not _is_address(one)})]
    named += sorted({one for one in alternatives if _is_address(one)})
    signer = authority_pair(store, authority)
    made_of = hashlib.sha256("\n".join([signer.certificate, *named]).encode()).hexdigest()[:12]
    return _split(
        store.get(f"{purpose}-{node}-{made_of}.pem", lambda: _make_certificate(signer, usage, node, named))
    )


def _make_authority(common_name: str) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(common_name)
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
        raise TypeError("an authority in the secret store holds no key on an elliptic curve")
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
        .add_extension(x509.ExtendedKeyUsage(_EXTENDED[usage]), critical=False)
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
