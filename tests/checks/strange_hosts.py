"""A network of hosts that answer echo requests strangely: a TUN device with a program behind it.

`start()` is called in a network namespace of its own. It makes 198.51.100.0/24 and 2001:db8:5::/64 such a
network; what a host does is in the last part of its address.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
import threading
import time

from checks.availability.icmp_packets import checksum

WELL, LATE, OTHER_SOURCE, UNREACHABLE, EXCEEDED, TWICE, GARBLED, FALSE_ERROR, SHORT_ERROR = range(0x10, 0x19)
#: Answers each request but the second; answers the second alone and has a router complain about the others.
LOSSY, FLAPPING = 0x19, 0x1A
#: Seconds after which LATE hosts answer.
DELAY = 0.45

_TUNSETIFF, _IFF_TUN, _IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
SET_UP = """ip link set strange up
ip addr add 198.51.100.1/24 dev strange
ip addr add 2001:db8:5::1/64 dev strange nodad"""


def address(behaviour: int, family: str) -> str:
    """The host with a behaviour."""
    return f"198.51.100.{behaviour}" if family == "ipv4" else f"2001:db8:5::{behaviour:x}"


def start() -> None:
    """Make the network and answer for its hosts until the process ends."""
    device = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(device, _TUNSETIFF, struct.pack("16sH22x", b"strange", _IFF_TUN | _IFF_NO_PI))
    subprocess.run(["sh", "-ec", SET_UP], check=True)

    def serve() -> None:
        while True:
            packet = os.read(device, 65536)
            for delay, answer in _answers(packet):
                if delay:
                    threading.Timer(delay, os.write, (device, answer)).start()
                else:
                    os.write(device, answer)

    threading.Thread(target=serve, daemon=True).start()
    time.sleep(0.05)


def _answers(packet: bytes) -> list[tuple[float, bytes]]:
    """What comes back for a packet, and after how many seconds."""
    version = packet[0] >> 4
    if version == 4:
        header, source, target, message = packet[:20], packet[12:16], packet[16:20], packet[20:]
        request, reply, unreachable, exceeded = 8, 0, (3, 1), (11, 0)
    else:
        header, source, target, message = packet[:40], packet[8:24], packet[24:40], packet[40:]
        request, reply, unreachable, exceeded = 128, 129, (1, 3), (3, 0)
    if message[0] != request:
        return []
    behaviour = target[-1]
    router = target[:-1] + b"\xfe"
    echo = bytes([reply, 0, 0, 0]) + message[4:]
    good = _packet(target, source, echo)
    error = header + message
    if behaviour == SHORT_ERROR:
        error = header + message[:8]  # the least that RFC 792 asks for
    if behaviour == FALSE_ERROR:  # an error about a packet to somebody else
        error = header[:-1] + bytes([WELL]) + message
    is_second = message[20] == 1  # the number of the attempt ends the payload's head
    complaint = [(0.0, _packet(router, source, bytes([*unreachable, *bytes(6)]) + error))]
    answers = {
        LOSSY: [] if is_second else [(0.0, good)],
        FLAPPING: [(0.0, good)] if is_second else complaint,
        WELL: [(0.0, good)],
        LATE: [(DELAY, good)],
        OTHER_SOURCE: [(0.0, _packet(router, source, echo))],
        UNREACHABLE: complaint,
        EXCEEDED: [(0.0, _packet(router, source, bytes([*exceeded, *bytes(6)]) + error))],
        TWICE: [(0.0, good), (DELAY, good)],
        GARBLED: [(0.0, _packet(target, source, echo[:8] + bytes(len(echo) - 8)))],
        FALSE_ERROR: complaint,
        SHORT_ERROR: complaint,
    }
    return answers.get(behaviour, [])


def _packet(source: bytes, target: bytes, message: bytes) -> bytes:
    """An IP packet around an ICMP message, with the right checksums (RFC 791, RFC 8200, RFC 4443)."""
    message = message[:2] + b"\0\0" + message[4:]
    if len(source) == 4:
        message = message[:2] + struct.pack("!H", checksum(message)) + message[4:]
        fields = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(message), 0, 0, 64, socket.IPPROTO_ICMP, 0)
        header = fields + source + target
        return header[:10] + struct.pack("!H", checksum(header)) + header[12:] + message
    pseudo = source + target + struct.pack("!IxxxB", len(message), socket.IPPROTO_ICMPV6)
    message = message[:2] + struct.pack("!H", checksum(pseudo + message)) + message[4:]
    return struct.pack("!IHBB", 6 << 28, len(message), socket.IPPROTO_ICMPV6, 64) + source + target + message
