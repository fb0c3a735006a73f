"""What do a ClientHello and a server's answer to it look like (RFC 8446, GB/T 38636-2020)? Pure."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

#: Bytes of a server's answer that are looked at: two certificates and their chains fit many times.
MOST_BYTES = 64 * 1024
_HANDSHAKE, _ALERT = 22, 21
_CLIENT_HELLO, _SERVER_HELLO, _CERTIFICATE, _SERVER_HELLO_DONE = 1, 2, 11, 14
_TLS12 = 0x0303  # what TLS 1.3 writes where the version used to stand
_TLS13 = 0x0304
#: Extensions (IANA "TLS ExtensionType Values").
_SERVER_NAME, _GROUPS, _SIGNATURES, _VERSIONS, _KEY_SHARE = 0, 10, 13, 43, 51


class Answer(NamedTuple):
    """What a server said to a ClientHello.

    Attributes:
        suite: The cipher suite that it chose; None where it refused.
        alert: The description of its alert (RFC 8446 section 6), None where it sent none.
        certificates: The certificates that came in clear, in DER; TLCP sends two, to sign and to encrypt.
    """

    suite: int | None
    alert: int | None = None
    certificates: tuple[bytes, ...] = ()


class NotTls(ValueError):
    """What came is no answer to a ClientHello."""


def client_hello(version: int, suites: Sequence[int], random: bytes, extensions: bytes = b"") -> bytes:
    """A ClientHello in one record; TLCP has no extensions and takes the record's version too."""
    body = struct.pack("!H", version) + random + b"\0" + _vector(struct.pack(f"!{len(suites)}H", *suites), 2)
    body += b"\x01\0"  # the null compression alone
    if extensions:
        body += _vector(extensions, 2)
    message = bytes([_CLIENT_HELLO]) + _vector(body, 3)
    record_version = min(version, 0x0301)  # RFC 8446 section 5.1
    return bytes([_HANDSHAKE]) + struct.pack("!H", record_version) + _vector(message, 2)


def tls13_hello(
    suites: Sequence[int], groups: Sequence[int], signatures: Sequence[int], random: bytes, host: str
) -> bytes:
    """A ClientHello of TLS 1.3 without a key share: the server names the suite it would take, and asks for one.

    RFC 8446 section 4.2.8 allows the empty share, and so no arithmetic on the SM2 curve is needed to ask.
    """
    extensions = [
        (_GROUPS, _vector(struct.pack(f"!{len(groups)}H", *groups), 2)),
        (_SIGNATURES, _vector(struct.pack(f"!{len(signatures)}H", *signatures), 2)),
        (_VERSIONS, _vector(struct.pack("!H", _TLS13), 1)),
        (_KEY_SHARE, _vector(b"", 2)),
    ]
    if host:
        extensions.insert(0, (_SERVER_NAME, _vector(b"\0" + _vector(host.encode("idna"), 2), 2)))
    packed = b"".join(struct.pack("!H", kind) + _vector(data, 2) for kind, data in extensions)
    return client_hello(_TLS12, suites, random, packed)


def _vector(data: bytes, length_bytes: int) -> bytes:
    return len(data).to_bytes(length_bytes, "big") + data


def read_answer(data: bytes, *, certificates: bool) -> Answer | None:
    """The answer that bytes hold; None while more has to come.

    Args:
        data: All bytes that came so far.
        certificates: Whether to wait for the certificates, which TLCP sends in clear.

    Raises:
        NotTls: The bytes are no such answer.
    """
    messages = b""
    while len(data) >= 5:
        kind, major, length = data[0], data[1], int.from_bytes(data[3:5], "big")
        if kind not in (_HANDSHAKE, _ALERT) or major not in (1, 3) or length > 2**14 + 256:
            raise NotTls(f"no TLS record: {data[:16]!r}")
        fragment = data[5 : 5 + length]
        if kind == _ALERT and len(fragment) >= 2:
            return _read_messages(messages, False) or Answer(None, alert=fragment[1])
        messages += fragment if kind == _HANDSHAKE else b""
        answer = _read_messages(messages, certificates)
        if answer is not None or len(fragment) < length:
            return answer  # what follows an answer, such as a change of ciphers, is not looked at
        data = data[5 + length :]
    return None


def _read_messages(messages: bytes, certificates: bool) -> Answer | None:
    suite = None
    while len(messages) >= 4:
        kind, length = messages[0], int.from_bytes(messages[1:4], "big")
        if suite is None and kind != _SERVER_HELLO:
            raise NotTls(f"handshake message {kind} where ServerHello belongs")
        body = messages[4 : 4 + length]
        if len(body) < length:
            break
        if kind == _SERVER_HELLO:
            suite = _suite_of(body)
        elif kind == _CERTIFICATE:
            return Answer(suite, certificates=_certificates_of(body))
        elif kind == _SERVER_HELLO_DONE:
            return Answer(suite)
        messages = messages[4 + length :]
    return Answer(suite) if suite is not None and not certificates else None


def _suite_of(body: bytes) -> int:
    """Version, random, session id, suite: the same place in TLS, in its HelloRetryRequest and in TLCP."""
    start = 35 + body[34] if len(body) > 34 else len(body)
    if len(body) < start + 2:
        raise NotTls("a ServerHello that ends before its cipher suite")
    return int.from_bytes(body[start : start + 2], "big")


def _certificates_of(body: bytes) -> tuple[bytes, ...]:
    found = []
    left = body[3 : 3 + int.from_bytes(body[:3], "big")]
    while len(left) >= 3:
        length = int.from_bytes(left[:3], "big")
        found.append(left[3 : 3 + length])
        left = left[3 + length :]
    return tuple(found)
