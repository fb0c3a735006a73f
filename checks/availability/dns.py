"""Does a name server answer over one address family, and is the answer right (RFC 1035)?"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Sequence
from typing import NamedTuple

import dns.asyncbackend
import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype

from inventories.records import Family

from .outcome import Outcome, Reason, of_error

_DOMAINS = {Family.IPV4: socket.AF_INET, Family.IPV6: socket.AF_INET6}
#: UDP loses packets: a question is asked again after this part of the time.
_TRIES = 2


class Question(NamedTuple):
    """A name and type to ask for, and the answer that is right: the set of addresses, or any when empty."""

    name: str
    record_type: str
    expected: tuple[str, ...] = ()


async def ask(
    address: str, port: int, family: Family, questions: Sequence[Question], timeout: float
) -> Outcome:
    """Ask a name server every question; all answers have to be right.

    UDP first, TCP where the answer is truncated. Recursion is not asked for: the server is asked what it
    itself is there to know.

    Args:
        address: The server's numeric address.
        port: Its port.
        family: The address family of the transport; the records asked for may be of either.
        questions: What to ask.
        timeout: Seconds for all questions together.

    Returns:
        Its seconds are the mean of an answer's.
    """
    started = time.perf_counter()
    seen: list[str] = []
    try:
        async with asyncio.timeout(timeout):
            for question in questions:
                response = await _query(address, port, family, question, timeout)
                wrong = judge(question, response)
                if wrong is not None:
                    return wrong
                seen.append(f"{question.record_type} {' '.join(_values(question, response)) or 'nothing'}")
    except dns.exception.Timeout:
        return Outcome(None, "no answer in time", Reason.TIMEOUT)
    except OSError as error:
        return of_error(error)
    except EOFError:
        return Outcome(None, "the server closed the connection without an answer", Reason.RESET)
    except dns.exception.DNSException as error:
        return Outcome(None, f"not DNS: {type(error).__name__}: {error}", Reason.WRONG_ANSWER)
    return Outcome((time.perf_counter() - started) / len(questions), "; ".join(seen))


async def _query(
    address: str, port: int, family: Family, question: Question, timeout: float
) -> dns.message.Message:
    query = dns.message.make_query(question.name, question.record_type, flags=0, use_edns=True)
    backend = dns.asyncbackend.get_backend("asyncio")
    # A connected socket hears "port unreachable" (ECONNREFUSED) where an unconnected one waits in vain.
    udp = await backend.make_socket(  # type: ignore[no-untyped-call]
        _DOMAINS[family], socket.SOCK_DGRAM, 0, None, (address, port)
    )
    async with udp:
        for attempt in range(_TRIES):
            try:
                response = await dns.asyncquery.udp(
                    query, address, timeout / _TRIES, port, sock=udp, ignore_unexpected=True
                )
                break
            except dns.exception.Timeout:
                if attempt == _TRIES - 1:
                    raise
    if response.flags & dns.flags.TC:
        response = await dns.asyncquery.tcp(query, address, timeout, port)
    return response


def judge(question: Question, response: dns.message.Message) -> Outcome | None:
    """What is wrong with an answer, or None when it is right."""
    asked = f"{question.name} {question.record_type}"
    code = response.rcode()
    if code == dns.rcode.NXDOMAIN:
        return Outcome(None, f"{asked}: no such name (NXDOMAIN)", Reason.NAME_ERROR)
    if code != dns.rcode.NOERROR:
        return Outcome(None, f"{asked}: {dns.rcode.to_text(code)}", Reason.BAD_STATUS)
    values = _values(question, response)
    if question.expected and set(values) != set(question.expected):
        answered = " ".join(values) or "nothing"
        return Outcome(None, f"{asked}: {answered}, not {' '.join(question.expected)}", Reason.WRONG_ANSWER)
    if question.record_type == "SOA" and not values:
        return Outcome(None, f"{asked}: the server does not hold the zone", Reason.WRONG_ANSWER)
    return None


def _values(question: Question, response: dns.message.Message) -> list[str]:
    """The answer's values of the type that was asked for, whatever aliases lead to them."""
    kind = dns.rdatatype.from_text(question.record_type)
    return sorted(rdata.to_text() for rrset in response.answer if rrset.rdtype == kind for rdata in rrset)
