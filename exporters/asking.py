"""What does a Prometheus, or a storage that answers as one, say? One question over a range, and how it can fail."""

from __future__ import annotations

import aiohttp
import msgspec

from exporters.access import Access, AccessError

#: Seconds for one answer.
TIMEOUT = 20.0
#: What a question may fail with.
FAILURES = (aiohttp.ClientError, OSError, ValueError, msgspec.DecodeError, AccessError)


class Series(msgspec.Struct):
    """The values of one series, each with its moment."""

    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Result(msgspec.Struct):
    result: list[Series]


class _Answer(msgspec.Struct):
    status: str
    data: _Result | None = None
    error: str = ""


def open_session(access: Access) -> aiohttp.ClientSession:
    """What questions are asked over, by these files.

    Raises:
        AccessError: One of the files cannot be used.
    """
    headers, context = access.headers(), access.context()
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context), headers=headers)


async def range_query(
    session: aiohttp.ClientSession, url: str, query: str, first: float, last: float, step: float
) -> list[Series]:
    """The answer to a query at moments that are `step` seconds apart, the first and the last among them.

    Raises:
        ValueError: It was refused; the message says why. And what else :data:`FAILURES` names.
    """
    form = {"query": query, "start": f"{first:.0f}", "end": f"{last:.0f}", "step": f"{step:.0f}"}
    # VictoriaMetrics may move the moments to multiples of the step, away from midnight; others ignore the word.
    form["nocache"] = "1"
    limit = aiohttp.ClientTimeout(total=TIMEOUT)
    async with session.post(f"{url}/api/v1/query_range", data=form, timeout=limit) as response:
        if response.status == 401:
            raise ValueError("Prometheus wants a login: --prometheus-user and --prometheus-password-file")
        answer = msgspec.json.decode(await response.read(), type=_Answer)
    if answer.data is None:
        raise ValueError(answer.error or f"status {answer.status}")
    return answer.data.result


def why_of(error: BaseException) -> str:
    """Why a question failed, for people."""
    return "超时" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"
