"""Which TLS does a web.yml ask for? An SSL context of the standard library."""

from __future__ import annotations

import contextlib
import os
import ssl
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from exporters.web.configuration import ClientAuthType, TlsServerConfig, TlsVersion, WebConfigError

_VERSIONS = {TlsVersion.TLS12: ssl.TLSVersion.TLSv1_2, TlsVersion.TLS13: ssl.TLSVersion.TLSv1_3}
_CLIENTS = {
    ClientAuthType.NONE: ssl.CERT_NONE,
    ClientAuthType.IF_GIVEN: ssl.CERT_OPTIONAL,
    ClientAuthType.REQUIRED: ssl.CERT_REQUIRED,
}


def server_context(tls: TlsServerConfig) -> ssl.SSLContext | None:
    """The context that serves as the table says, or None where it asks for no TLS.

    Raises:
        WebConfigError: A file is missing or unreadable, or certificate and key do not fit.
    """
    if not tls.enabled:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[tls.min_version]
    context.maximum_version = _VERSIONS[tls.max_version]
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if tls.prefer_server_cipher_suites:
        context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE
    # Only HTTP/1.1 is spoken; saying so spares a client that offers HTTP/2 a guess.
    context.set_alpn_protocols(["http/1.1"])
    if tls.cipher_suites:
        context.set_ciphers(":".join(_openssl_name(suite) for suite in tls.cipher_suites))
    _load_certificate(context, tls)
    if tls.client_auth_type != ClientAuthType.NONE:
        _load_authority(context, tls)
    return context


def names_of_peer(certificate: Any) -> frozenset[str]:
    """The subject alternative names of a client's certificate, as `SSLSocket.getpeercert` gives it."""
    return frozenset(value for _, value in (certificate or {}).get("subjectAltName", ()))


def _load_certificate(context: ssl.SSLContext, tls: TlsServerConfig) -> None:
    with contextlib.ExitStack() as stack:
        certificate = tls.cert_file or stack.enter_context(_as_file(tls.cert))
        key = tls.key_file or stack.enter_context(_as_file(tls.key))
        for path in (certificate, key):
            _refuse_unreadable(path)
        try:
            # An encrypted key would make OpenSSL ask on the terminal and hang a service: refuse it instead.
            context.load_cert_chain(certificate, key, password=_no_password)
        except (ssl.SSLError, _EncryptedKeyError) as error:
            what = "is encrypted" if isinstance(error, _EncryptedKeyError) else str(error.reason or error)
            raise WebConfigError(
                f"{tls.cert_file or 'cert'}, {tls.key_file or 'key'}: no usable pair ({what}); "
                "give a PEM certificate (chain) and the unencrypted PEM key that belongs to it"
            ) from error


def _load_authority(context: ssl.SSLContext, tls: TlsServerConfig) -> None:
    context.verify_mode = _CLIENTS[tls.client_auth_type]
    try:
        if tls.client_ca_file:
            _refuse_unreadable(tls.client_ca_file)
            context.load_verify_locations(cafile=tls.client_ca_file)
        else:
            context.load_verify_locations(cadata=tls.client_ca)
    except ssl.SSLError as error:
        raise WebConfigError(
            f"{tls.client_ca_file or 'client_ca'}: no authority's PEM certificates ({error.reason or error})"
        ) from error


def _refuse_unreadable(path: str) -> None:
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise WebConfigError(
            f"{path}: cannot be read: {error.strerror}; check its name and permissions"
        ) from error


class _EncryptedKeyError(Exception):
    """Raised in OpenSSL's question for a password."""


def _no_password() -> bytes:
    raise _EncryptedKeyError


@contextlib.contextmanager
def _as_file(text: str) -> Iterator[str]:
    """A file in memory that OpenSSL can open by name: keys given as text never touch a disk."""
    descriptor = os.memfd_create("pem")
    try:
        os.write(descriptor, text.encode())
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


@cache
def _cipher_suites() -> dict[str, str]:
    return tomllib.loads(Path(__file__).with_name("cipher_suites.toml").read_text(encoding="utf-8"))


def _openssl_name(suite: str) -> str:
    try:
        return _cipher_suites()[suite]
    except KeyError:
        known = ", ".join(_cipher_suites())
        raise WebConfigError(f"cipher_suites: {suite} is not offered; the suites are {known}") from None
