"""How one probe ended, and the reasons of failure that probes tell apart."""

from __future__ import annotations

import errno
import ssl
from enum import StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """Why a probe failed."""

    TIMEOUT = "timeout"  # nothing came back in time
    REFUSED = "refused"  # the host is there, nothing listens
    UNREACHABLE = "unreachable"  # no route, or a router or host on the way said so
    RESET = "reset"  # the connection was torn down
    CERTIFICATE = "certificate"  # the TLS handshake or the certificate failed
    BAD_STATUS = "bad_status"  # the server answered that it could not
    WRONG_ANSWER = "wrong_answer"  # an answer, but not the right one
    NAME_ERROR = "name_error"  # the name does not exist (NXDOMAIN)
    NO_ADDRESS = "no_address"  # the name exists, but has no address of the family
    UNRESOLVED = "unresolved"  # no name server answered in time, or none could
    NOT_PERMITTED = "not_permitted"  # this machine may not probe: nothing can be said of the target
    NO_FAMILY = "no_family"  # this machine has no address of the family: likewise
    DEADLINE = "deadline"  # the run ended before the probe was sent: likewise
    FAULT = "fault"  # the probe itself broke: likewise


#: Reasons that say nothing of the target: their records have the status `error`.
UNKNOWN = frozenset({Reason.NOT_PERMITTED, Reason.NO_FAMILY, Reason.DEADLINE, Reason.FAULT})


class Outcome(NamedTuple):
    """How one probe ended: seconds and evidence when well, reason and evidence when not."""

    seconds: float | None
    evidence: str
    reason: Reason | None = None


_REASONS_BY_ERRNO = {
    errno.ECONNREFUSED: Reason.REFUSED,
    errno.ENETUNREACH: Reason.UNREACHABLE,
    errno.EHOSTUNREACH: Reason.UNREACHABLE,
    errno.EHOSTDOWN: Reason.UNREACHABLE,
    errno.ENETDOWN: Reason.UNREACHABLE,
    errno.EINVAL: Reason.UNREACHABLE,  # a blackhole route (RTN_BLACKHOLE)
    errno.EACCES: Reason.UNREACHABLE,  # a prohibit route, or ICMP "administratively prohibited"
    errno.ENOPROTOOPT: Reason.UNREACHABLE,  # ICMP "protocol unreachable"
    errno.ECONNRESET: Reason.RESET,
    errno.ECONNABORTED: Reason.RESET,
    errno.EPIPE: Reason.RESET,
    errno.ETIMEDOUT: Reason.TIMEOUT,
    errno.EPERM: Reason.NOT_PERMITTED,  # the machine's own firewall refuses to send
    errno.EAFNOSUPPORT: Reason.NO_FAMILY,
    errno.EADDRNOTAVAIL: Reason.NO_FAMILY,
    errno.EMFILE: Reason.NOT_PERMITTED,
    errno.ENFILE: Reason.NOT_PERMITTED,
}


def of_error(error: OSError) -> Outcome:
    """The outcome that a socket's error stands for (errno(3), RFC 1122 section 4.2.3.9)."""
    if isinstance(error, TimeoutError):
        return Outcome(None, "no answer in time", Reason.TIMEOUT)
    if isinstance(error, ssl.SSLError):
        return Outcome(None, f"TLS: {error.reason or error}", Reason.CERTIFICATE)
    reason = _REASONS_BY_ERRNO.get(error.errno or 0, Reason.UNREACHABLE)
    if error.errno == errno.EINVAL:
        return Outcome(None, "this machine's route discards it (blackhole)", reason)
    return Outcome(None, error.strerror or str(error), reason)
