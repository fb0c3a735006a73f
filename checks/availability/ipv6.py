"""How do a system's pages and names fare over IPv6? Measures; :mod:`readiness` judges."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterable, Sequence
from html.parser import HTMLParser
from typing import NamedTuple
from urllib.parse import urldefrag, urljoin, urlsplit

import aiohttp
import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.resolver

from checks.record import Record
from inventories.records import Family

from . import http
from .city_names import CityNames
from .names import Resolver, asking
from .outcome import Outcome, Reason
from .readiness import Assessment, Measured, Page, Zone, assessment, broken, not_deployed, records_of
from .targets import Kind, Target

#: Requests over each family, in turn; the median counts.
SAMPLES = 3
#: Inner links that are followed: of the page itself, and of each of those pages.
SECOND_LEVEL, THIRD_LEVEL = 8, 3
#: Systems that are assessed at once: few, as delays are measured.
_AT_ONCE = 4
_GOOD = 400


async def assess(
    targets: Iterable[Target],
    *,
    timeout: float = 5.0,
    resolver: Resolver | None = None,
    by: Assessment | None = None,
    names: CityNames | None = None,
) -> list[Record]:
    """The records of every web endpoint among the targets; one of two families of it is enough to name it.

    `names` says where the names of the city's own nodes are asked for; a `resolver` goes before its.
    """
    names = names or CityNames()
    if resolver is not None:
        names = names._replace(resolver=resolver)
    pages: dict[tuple[str, str], dict[Family, Target]] = {}
    for target in targets:
        if target.kind in (Kind.HTTP, Kind.HTTPS):
            pages.setdefault((target.subject, target.check), {})[target.family] = target
    by, turns = by or assessment(), asyncio.Semaphore(_AT_ONCE)

    async def one(pair: dict[Family, Target]) -> list[Record]:
        async with turns:
            try:
                return records_of(await measure(pair, timeout, names), by)
            except (
                Exception
            ) as error:  # a server that breaks this in a way nobody thought of stops no other's
                return broken(pair[Family.IPV6].subject, f"{type(error).__name__}: {error}")

    done = await asyncio.gather(*(one(pair) for pair in pages.values() if Family.IPV6 in pair))
    absent = {subject for (subject, _), pair in pages.items() if Family.IPV6 not in pair}
    return _worst_of_each([*done, *(not_deployed(subject) for subject in sorted(absent))])


def _worst_of_each(found: Iterable[Sequence[Record]]) -> list[Record]:
    """One set of records a system: of several endpoints the one with the lowest score."""
    worst: dict[str, Sequence[Record]] = {}
    for records in found:
        kept = worst.setdefault(records[0].subject, records)
        if float(records[-1].value or 0) < float(kept[-1].value or 0):
            worst[records[0].subject] = records
    return [record for records in worst.values() for record in records]


async def measure(pair: dict[Family, Target], timeout: float, names: CityNames) -> Measured:
    """Measures one endpoint.

    Args:
        pair: The endpoint's target in each family; one family may be missing where it is not deployed.
        timeout: Seconds for one request or question.
        names: Which name servers to ask, and for what.
    """
    name, resolver = names.full(pair[Family.IPV6].host), names.resolver
    ask = asking(resolver)
    (addresses, resolution), zones = await asyncio.gather(
        _addresses(ask, name, "AAAA", timeout),
        _zones(ask, name, timeout, resolver.port if resolver else 53),
    )
    pages, bodies = await _pages(pair, ask, timeout)
    links, broken = 0, list[str]()
    if not pages[Family.IPV6].reason:
        links, broken = await _follow(pair[Family.IPV6], bodies[Family.IPV6], ask, timeout)
    return Measured(pair[Family.IPV6].subject, addresses, resolution, zones, pages, links, broken)


# Names.


async def _addresses(
    ask: dns.asyncresolver.Resolver, name: str, kind: str, timeout: float
) -> tuple[list[str], str]:
    """The addresses of a name, and why they could not be learned; both are empty where there are none."""
    try:
        answer = await ask.resolve(name, kind, lifetime=timeout)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return [], ""
    except (dns.exception.DNSException, OSError) as error:
        return [], f"{name}: {str(error) or type(error).__name__}"
    return sorted(record.to_text() for record in answer), ""


async def _zones(ask: dns.asyncresolver.Resolver, name: str, timeout: float, port: int) -> list[Zone]:
    """The zones above a name that have name servers of their own, and how those answer over IPv6."""
    above = [dns.name.from_text(name)]
    while len(above[-1]) > 2:  # the root itself is not a city's to assess
        above.append(above[-1].parent())
    zones = await asyncio.gather(*(_zone(ask, one, timeout, port) for one in above))
    return [zone for zone in zones if zone is not None]


async def _zone(
    ask: dns.asyncresolver.Resolver, name: dns.name.Name, timeout: float, port: int
) -> Zone | None:
    try:
        servers = [record.target.to_text() for record in await ask.resolve(name, "NS", lifetime=timeout)]
    except (dns.exception.DNSException, OSError):
        return None
    states = await asyncio.gather(*(_server(ask, name, one, timeout, port) for one in servers))
    answering = sum(answered for _, answered in states)
    return Zone(name.to_text(), len(servers), sum(has for has, _ in states), answering)


async def _server(
    ask: dns.asyncresolver.Resolver, zone: dns.name.Name, server: str, timeout: float, port: int
) -> tuple[bool, bool]:
    """Whether a name server has an AAAA record, and whether it answers for its zone over IPv6."""
    addresses, _ = await _addresses(ask, server, "AAAA", timeout)
    query = dns.message.make_query(zone, "SOA", flags=0)
    for address in addresses:
        try:
            response = await dns.asyncquery.udp(query, address, timeout, port)
        except (dns.exception.DNSException, OSError):
            continue
        if response.rcode() == dns.rcode.NOERROR and response.flags & dns.flags.AA:
            return True, True
    return bool(addresses), False


# Pages.


class _Sample(NamedTuple):
    tcp: float
    first_byte: float
    page: float
    body: str


async def _pages(
    pair: dict[Family, Target], ask: dns.asyncresolver.Resolver, timeout: float
) -> tuple[dict[Family, Page], dict[Family, str]]:
    """The page over each family, asked for in turn so that a change of the server's load meets both."""
    samples: dict[Family, list[_Sample]] = {family: [] for family in Family}
    failed: dict[Family, Outcome] = {}
    for _ in range(SAMPLES):
        for family, target in pair.items():
            if family in failed:
                continue
            got = await _fetch(target, target.path, ask, timeout)
            if isinstance(got, Outcome):
                failed[family] = got
            else:
                samples[family].append(got)
    pages = {}
    for family in Family:
        if family not in pair:
            pages[family] = Page(reason="not_deployed", evidence="not deployed in this family")
        elif family in failed:
            pages[family] = Page(reason=failed[family].reason or "failed", evidence=failed[family].evidence)
        else:
            pages[family] = _median(samples[family])
    return pages, {family: got[0].body for family, got in samples.items() if got}


def _median(samples: Sequence[_Sample]) -> Page:
    lines = frozenset(line.strip() for line in samples[0].body.splitlines() if line.strip())
    page = statistics.median(sample.page for sample in samples)
    return Page(
        tcp=statistics.median(sample.tcp for sample in samples),
        first_byte=statistics.median(sample.first_byte for sample in samples),
        page=page,
        lines=lines,
        evidence=f"a page of {len(samples[0].body)} characters in {page * 1000:.1f} ms",
    )


async def _fetch(
    target: Target, path: str, ask: dns.asyncresolver.Resolver, timeout: float
) -> _Sample | Outcome:
    """One request over the target's family, in a connection of its own."""
    address = target.address
    if not address:
        kind = "AAAA" if target.family is Family.IPV6 else "A"
        found, problem = await _addresses(ask, target.host, kind, timeout)
        if not found:
            reason = Reason.UNRESOLVED if problem else Reason.NO_ADDRESS
            return Outcome(None, problem or f"{target.host} has no {kind} record", reason)
        address = found[0]
    moments: dict[str, float] = {}

    async def connected(*_: object) -> None:
        moments["connected"] = time.perf_counter()

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(connected)
    begun = time.perf_counter()
    try:
        async with (
            asyncio.timeout(timeout),
            http.new_session(target.family, 1, trace) as session,
            session.get(
                http.url_of(target.kind.value, address, target.port, path),
                headers={"Host": http.host_header(target.kind.value, target.host, target.port)},
                server_hostname=target.host if target.kind is Kind.HTTPS else None,
                allow_redirects=False,
            ) as response,
        ):
            first = time.perf_counter()
            body = await http.read_body(response.content)
            if response.status >= _GOOD:
                return Outcome(None, f"status {response.status}", Reason.BAD_STATUS)
            text = body.decode(response.get_encoding() if response.charset else "utf-8", "replace")
    except (aiohttp.ClientError, OSError) as error:
        return http.of_client_error(error)
    except LookupError as error:  # a charset that nobody knows
        return Outcome(None, str(error), Reason.WRONG_ANSWER)
    tcp = moments.get("connected", begun) - begun
    return _Sample(tcp, first - begun, time.perf_counter() - begun, text)


# Links.


class _Links(HTMLParser):
    """What a page refers to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("href", "src") and value]


def inner_links(body: str, page: str) -> list[str]:
    """The links of a page that lead to its own host, without fragments, each once; not the page itself."""
    parser = _Links()
    parser.feed(body)
    here = urlsplit(page)
    found = []
    for link in parser.found:
        try:
            whole, _ = urldefrag(urljoin(page, link))
            there = urlsplit(whole)
        except ValueError:
            continue
        if (there.scheme, there.netloc) == (here.scheme, here.netloc) and whole != page:
            found.append(whole)
    return list(dict.fromkeys(found))


async def _follow(
    target: Target, body: str, ask: dns.asyncresolver.Resolver, timeout: float
) -> tuple[int, list[str]]:
    """How many links of the second and third level were tried over IPv6, and which did not work."""
    host = http.host_header(target.kind.value, target.host, target.port)
    page = f"{target.kind.value}://{host}{target.path}"
    seen = {page}
    broken: list[str] = []
    level = [(page, body)]
    for most in (SECOND_LEVEL, THIRD_LEVEL):
        found = []
        for url, text in level:
            links = [link for link in inner_links(text, url) if link not in seen][:most]
            for link in links:
                seen.add(link)
                parts = urlsplit(link)
                path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                got = await _fetch(target, path, ask, timeout)
                if isinstance(got, Outcome):
                    broken.append(f"{path} ({got.evidence})")
                else:
                    found.append((link, got.body))
        level = found
    return len(seen) - 1, broken
