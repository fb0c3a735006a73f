"""Does a server shake hands over TLS, and how long will its certificate do? OpenSSL's own judgement.

The authorities are those that the machine trusts; a city's own are named by SSL_CERT_FILE or SSL_CERT_DIR.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple

from cryptography import x509

from inventories.records import Family

from .outcome import Outcome, Reason, of_error

_DOMAINS = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
#: X509_V_ERR_HOSTNAME_MISMATCH (openssl-verification-options(1)).
_WRONG_NAME = 62


class Certificate(NamedTuple):
    """What a server shows in its handshake.

    Attributes:
        not_after: When its own certificate ends, in seconds since the epoch.
        chain_end: When the first certificate of the chain that it sends ends.
        is_trusted: Whether the chain leads to an authority that the machine trusts, and all of it is in force.
        is_named: Whether the certificate is for the host's name.
        problem: Why it is not trusted, in OpenSSL's words.
        version: The version of TLS that was agreed on.
        suite: The cipher suite that was agreed on.
    """

    not_after: float
    chain_end: float
    is_trusted: bool
    is_named: bool
    problem: str
    version: str
    suite: str


async def connect(address: str, port: int, family: Family, host: str, timeout: float) -> Outcome:
    """Shake hands and close; the certificate has to be trusted, in force and for the host's name.

    Args:
        address: A numeric address of the family.
        port: The port.
        family: The address family; there is no fallback to the other.
        host: The name that is asked for and has to be in the certificate.
        timeout: Seconds.

    Returns:
        Its seconds are those of TCP's and TLS's handshakes.
    """
    started = time.perf_counter()
    try:
        async with asyncio.timeout(timeout):
            shown = await _handshake(address, port, family, host, _verifying())
    except ssl.SSLCertVerificationError as error:
        return Outcome(None, f"certificate: {error.verify_message}", Reason.CERTIFICATE)
    except OSError as error:
        return of_error(error)
    return Outcome(time.perf_counter() - started, f"{shown.version()} {(shown.cipher() or ('',))[0]}")


async def certificate_of(address: str, port: int, family: Family, host: str, timeout: float) -> Certificate:
    """What a server's certificate is, whether it is good or not; up to three handshakes.

    Raises:
        OSError: There was no handshake (ssl.SSLError and TimeoutError are OSErrors).
    """
    where = (address, port, family, host)
    async with asyncio.timeout(timeout):
        shown, problem = None, ""
        try:
            shown = await _handshake(*where, _unnamed())
        except ssl.SSLCertVerificationError as error:
            problem = error.verify_message
        if shown is None:
            shown = await _handshake(*where, _careless())
        chain = _chain_of(shown)
        if not chain:
            raise ssl.SSLError(0, "the server showed no certificate")
        is_named = await _is_named(*where, chain[0])
    ends = [x509.load_der_x509_certificate(one).not_valid_after_utc.timestamp() for one in chain]
    suite = (shown.cipher() or ("",))[0]
    return Certificate(ends[0], min(ends), not problem, is_named, problem, shown.version() or "", suite)


def end_of(der: bytes) -> float | None:
    """When a certificate ends, in seconds since the epoch; None where it cannot be read."""
    try:
        return x509.load_der_x509_certificate(der).not_valid_after_utc.timestamp()
    except ValueError:
        return None


async def _is_named(address: str, port: int, family: Family, host: str, leaf: bytes) -> bool:
    """Whether OpenSSL finds a host's name in a certificate, whoever signed it.

    The certificate itself is the anchor (X509_V_FLAG_PARTIAL_CHAIN), so that the name alone can be wrong: OpenSSL
    looks at it before dates and signatures.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cadata=leaf)
        await _handshake(address, port, family, host, context)
    except ssl.SSLCertVerificationError as error:
        return error.verify_code != _WRONG_NAME
    return True


async def _handshake(
    address: str, port: int, family: Family, host: str, context: ssl.SSLContext
) -> ssl.SSLObject:
    """The state of a connection after its handshake; it is closed already."""
    _, writer = await asyncio.open_connection(
        address, port, family=_DOMAINS[family], ssl=context, server_hostname=host
    )
    shown = writer.get_extra_info("ssl_object")
    assert isinstance(shown, ssl.SSLObject)  # noqa: S101 - a TLS connection has one
    writer.transport.abort()
    return shown


def _chain_of(shown: ssl.SSLObject) -> Sequence[bytes]:
    """The certificates that a server sent, its own first, in DER."""
    # A public method from Python 3.13 on; up to then it stands on the object inside.
    method = getattr(shown, "get_unverified_chain", None) or getattr(
        getattr(shown, "_sslobj", None), "get_unverified_chain", None
    )
    if method is not None:
        return list(_as_der(method() or ()))
    leaf = shown.getpeercert(binary_form=True)
    return [leaf] if leaf else []


def _as_der(chain: Sequence[object]) -> Iterator[bytes]:
    for one in chain:
        if isinstance(one, bytes):
            yield one
        else:
            with contextlib.suppress(AttributeError):
                yield ssl.PEM_cert_to_DER_cert(one.public_bytes())  # type: ignore[attr-defined]


@cache
def _verifying() -> ssl.SSLContext:
    return ssl.create_default_context()


@cache
def _unnamed() -> ssl.SSLContext:
    """Looks at the chain, not at the name."""
    context = ssl.create_default_context()
    context.check_hostname = False
    return context


@cache
def _careless() -> ssl.SSLContext:
    """Takes every certificate: it is looked at, nothing is sent."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
