"""Does a repository's host answer, over which address family, and what does its clock say?"""

from __future__ import annotations

import http.client
import socket
import ssl
from email.utils import parsedate_to_datetime

from .configuration import RepositoryPlace
from .lasting import now
from .restic import JobError

#: How long a repository's host may take to accept a connection, in seconds and for each address.
CONNECT_SECONDS = 5.0
#: How far two clocks may be apart before a job says so: restic takes a lock for dead after 30 minutes.
CLOCK_SECONDS = 300.0


def family_that_answers(place: RepositoryPlace) -> str:
    """Connect to the repository's host; the family of the first address that answers, IPv6 first (RFC 6724).

    restic itself would try for a minute and then say less.

    Raises:
        JobError: no address answers; the message names each.
    """
    if not place.host:
        return ""
    tried = []
    try:
        addresses = socket.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise JobError("unreachable", f"{place.host} has no address: {error}") from error
    for family, kind, protocol, _, address in addresses:
        number = str(address[0])
        try:
            with socket.socket(family, kind, protocol) as connection:
                connection.settimeout(CONNECT_SECONDS)
                connection.connect(address)
            return "ipv6" if family == socket.AF_INET6 else "ipv4"
        except OSError as error:
            tried.append(f"{number} port {place.port}: {error}")
    raise JobError("unreachable", f"{place.node} does not answer: {'; '.join(tried)}")


def clock_offset(place: RepositoryPlace, ca_file: str) -> float | None:
    """By how many seconds this host's clock is ahead of the server's; None where the server does not say.

    From the Date field of an answer (RFC 9110, 6.6.1), which needs no login; a second is its resolution.
    """
    if not place.host:
        return 0.0
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
        try:
            return _offset(place, context)
        except ssl.SSLCertVerificationError:
            # By a clock that is a day behind no certificate is valid yet. restic accepts no such server; but that
            # it is the clock is worth knowing, and nothing is sent.
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            return _offset(place, context)
    except (OSError, http.client.HTTPException, ValueError, TypeError):
        return None


def _offset(place: RepositoryPlace, context: ssl.SSLContext) -> float:
    connection = http.client.HTTPSConnection(place.host, place.port, timeout=CONNECT_SECONDS, context=context)
    try:
        connection.request("HEAD", "/")
        said = connection.getresponse().getheader("Date", "")
    finally:
        connection.close()
    return round((now() - parsedate_to_datetime(said)).total_seconds(), 1)
