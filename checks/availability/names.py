"""Which address has a name, in one family, now? Asked anew in each run; nobody waits for another's name."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import dns.asyncresolver
import dns.exception
import dns.resolver

from inventories.records import Family

from .outcome import Outcome, Reason

_RECORD_TYPES = {Family.IPV4: "A", Family.IPV6: "AAAA"}


class Resolver(NamedTuple):
    """Name servers to ask in place of those that the machine has."""

    servers: tuple[str, ...]
    port: int = 53


class Names:
    """Resolves names for one run, each name once a family, over whatever transport the name servers have.

    Args:
        resolver: Whom to ask; None for the servers of the machine, read anew (resolv.conf(5)).
        timeout: Seconds for one name.
    """

    def __init__(self, resolver: Resolver | None, timeout: float) -> None:
        self._given = resolver
        self._timeout = timeout
        self._resolver: dns.asyncresolver.Resolver | None = None
        self._answers: dict[tuple[str, Family], asyncio.Task[str | Outcome]] = {}

    async def address(self, name: str, family: Family) -> str | Outcome:
        """The first address of a name in a family (RFC 1035, RFC 3596), or why there is none."""
        key = (name, family)
        if key not in self._answers:
            self._answers[key] = asyncio.create_task(self._ask(name, family))
        return await asyncio.shield(self._answers[key])

    async def _ask(self, name: str, family: Family) -> str | Outcome:
        kind = _RECORD_TYPES[family]
        try:
            answer = await self._ready().resolve(
                name + "." * (not name.endswith(".")), kind, lifetime=self._timeout
            )
        except dns.resolver.NXDOMAIN:
            return Outcome(None, f"{name}: no such name (NXDOMAIN)", Reason.NAME_ERROR)
        except dns.resolver.NoAnswer:
            return Outcome(None, f"{name} has no {kind} record", Reason.NO_ADDRESS)
        except (dns.exception.DNSException, OSError) as error:
            said = str(error).splitlines()[0] if str(error) else type(error).__name__
            return Outcome(None, f"{name} was not resolved: {said}", Reason.UNRESOLVED)
        return str(min(record.to_text() for record in answer))

    def _ready(self) -> dns.asyncresolver.Resolver:
        if self._resolver is None:
            self._resolver = asking(self._given)
        return self._resolver


def asking(given: Resolver | None) -> dns.asyncresolver.Resolver:
    """A resolver that remembers nothing: of the machine's name servers (resolv.conf(5), read now) or those given.

    Of a machine that has none it has none either: each name that it is asked for fails, and says so.
    """
    try:
        resolver = dns.asyncresolver.Resolver(configure=given is None)
    except dns.resolver.NoResolverConfiguration:
        resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.cache = None
    resolver.search = []
    if given is not None:
        resolver.nameservers = list(given.servers)
        resolver.port = given.port
    return resolver
