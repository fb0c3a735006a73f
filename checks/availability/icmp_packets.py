"""What do echo requests, their replies and ICMP errors look like on the wire (RFC 792, RFC 4443)? Pure."""

from __future__ import annotations

import ipaddress
import struct
from typing import NamedTuple

from inventories.records import Family

#: Bytes by which a run knows its own packets among those of other programs.
MAGIC_BYTES = 8
_HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence
_PAYLOAD = struct.Struct(f"!{MAGIC_BYTES}sIB")  # magic, index of the target, attempt
_PACKET_BYTES = _HEADER.size + _PAYLOAD.size
_PACKET = struct.Struct(f"!BBHHH{MAGIC_BYTES}sIB")
_IPV6_HEADER_BYTES = 40

_REQUEST = {Family.IPV4: 8, Family.IPV6: 128}
_REPLY = {Family.IPV4: 0, Family.IPV6: 129}
_ERRORS = {
    Family.IPV4: {
        3: {0: "network unreachable", 1: "host unreachable", 2: "protocol unreachable", 13: "prohibited"},
        11: {0: "time to live exceeded"},
    },
    Family.IPV6: {
        1: {0: "no route", 1: "prohibited", 3: "address unreachable", 5: "policy", 6: "route rejected"},
        2: {0: "packet too big"},
        3: {0: "hop limit exceeded"},
        4: {},
    },
}
_ERROR_NAMES = {
    (Family.IPV4, 3): "destination unreachable",
    (Family.IPV4, 11): "time exceeded",
    (Family.IPV6, 1): "destination unreachable",
    (Family.IPV6, 2): "packet too big",
    (Family.IPV6, 3): "time exceeded",
    (Family.IPV6, 4): "parameter problem",
}


class Received(NamedTuple):
    """A packet that belongs to a run: a reply, or where `error` is set an error about a request."""

    target: int
    attempt: int
    error: str = ""
    destination: str = ""


class EchoPacket:
    """Writes and recognises the echo requests of one run."""

    def __init__(self, family: Family, identifier: int, magic: bytes) -> None:
        self.family = family
        self._identifier = identifier
        self._magic = magic
        # The part of the checksum that all requests share: one that varies is summed for each packet.
        self._sum = (_REQUEST[family] << 8) + identifier + sum(struct.unpack(f"!{MAGIC_BYTES // 2}H", magic))

    def request(self, index: int, attempt: int) -> bytes:
        """An echo request for a target. ICMPv6's checksum covers the addresses, so the kernel fills it in."""
        sequence, attempt = index & 0xFFFF, attempt & 0xFF
        total = self._sum + 2 * sequence + (index >> 16) + (attempt << 8)
        total = (total >> 16) + (total & 0xFFFF)
        check = ~(total + (total >> 16)) & 0xFFFF if self.family is Family.IPV4 else 0
        kind = _REQUEST[self.family]
        return _PACKET.pack(kind, 0, check, self._identifier, sequence, self._magic, index, attempt)

    def payload_of(self, message: bytes) -> tuple[int, int] | None:
        """Index and attempt of an ICMP message that carries this run's payload, else None."""
        if len(message) < _PACKET_BYTES:
            return None
        magic, index, attempt = _PAYLOAD.unpack_from(message, _HEADER.size)
        return (int(index), int(attempt)) if magic == self._magic else None

    def index_of(self, message: bytes) -> int | None:
        """The index that an ICMP message carries, or its sequence where only 8 bytes of it came back."""
        found = self.payload_of(message)
        if found is not None:
            return found[0]
        if _HEADER.size <= len(message) < _PACKET_BYTES:
            kind, _, _, identifier, sequence = _HEADER.unpack_from(message)
            if kind == _REQUEST[self.family] and identifier == self._identifier:
                return int(sequence)
        return None


def checksum(packet: bytes) -> int:
    """The Internet checksum (RFC 1071)."""
    if len(packet) % 2:
        packet += b"\0"
    total: int = sum(struct.unpack(f"!{len(packet) // 2}H", packet))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


def parse(data: bytes, packet: EchoPacket, raw: bool) -> Received | None:
    """What a received datagram says of this run, or None when it belongs to another program.

    A raw ICMPv4 socket delivers the IP header too; all other sockets begin at the ICMP header.
    """
    if raw and packet.family is Family.IPV4:
        data = data[(data[0] & 0x0F) * 4 :] if data else data
    if len(data) < _HEADER.size:
        return None
    kind, code = data[0], data[1]
    if kind == _REPLY[packet.family]:
        found = packet.payload_of(data)
        return Received(*found) if found else None
    if kind in _ERRORS[packet.family]:
        return _parse_error(data, packet, kind, code)
    return None


def _parse_error(data: bytes, packet: EchoPacket, kind: int, code: int) -> Received | None:
    """An error carries the packet it is about, or as little as its first 8 bytes (RFC 792)."""
    inner = data[_HEADER.size :]
    if packet.family is Family.IPV4:
        if len(inner) < 20:
            return None
        destination = str(ipaddress.IPv4Address(inner[16:20]))
        message = inner[(inner[0] & 0x0F) * 4 :]
    else:
        if len(inner) < _IPV6_HEADER_BYTES:
            return None
        destination = str(ipaddress.IPv6Address(inner[24:40]))
        message = inner[_IPV6_HEADER_BYTES:]
    index = packet.index_of(message)
    if index is None:
        return None
    name = _ERROR_NAMES[packet.family, kind]
    detail = _ERRORS[packet.family][kind].get(code, f"code {code}")
    return Received(index, 0, f"{name} ({detail})", destination)
