"""Is this a user of web.yml? HTTP basic authentication (RFC 7617) against bcrypt hashes."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Mapping

import aiohttp
import bcrypt

_CACHED_ANSWERS = 100


class Authenticator:
    """Answers whether an Authorization header names a user and holds its password.

    bcrypt is slow by design: it runs in a thread, so that a flood of wrong passwords delays no scrape that
    is already known, and at most two at once, so that it cannot take all of the machine. Right and wrong
    answers are remembered under a keyed hash; no password is kept.
    """

    def __init__(self, users: Mapping[str, str]) -> None:
        self._users = dict(users)
        self._answers: OrderedDict[bytes, bool] = OrderedDict()
        self._key = secrets.token_bytes(32)
        self._slots = asyncio.Semaphore(2)
        # An unknown name costs the same time as a known one, at the cost that the real hashes have.
        cost = max((int(value.split("$")[2]) for value in self._users.values()), default=10)
        self._nobody = bcrypt.hashpw(secrets.token_hex(16).encode(), bcrypt.gensalt(cost)) if users else b""

    @property
    def required(self) -> bool:
        """Whether any user is named; without one, everybody may read."""
        return bool(self._users)

    async def allows(self, header: str | None) -> bool:
        """Whether the value of an Authorization header is that of a user."""
        if not self.required:
            return True
        try:
            given = aiohttp.BasicAuth.decode(header or "", encoding="utf-8")
        except ValueError:
            return False
        stored = self._users.get(given.login, "").encode() or self._nobody
        secret = b"\0".join((given.login.encode(), stored, given.password.encode()))
        token = hmac.digest(self._key, secret, hashlib.sha256)
        if token in self._answers:
            self._answers.move_to_end(token)
            return self._answers[token]
        async with self._slots:
            answer = await asyncio.to_thread(_matches, given.password.encode(), stored)
        answer = answer and given.login in self._users
        self._answers[token] = answer
        if len(self._answers) > _CACHED_ANSWERS:
            self._answers.popitem(last=False)
        return answer


def _matches(password: bytes, stored: bytes) -> bool:
    try:
        return bcrypt.checkpw(password, stored)
    except ValueError:  # a password above bcrypt's 72 bytes, or with a NUL: no hash can have been made of it
        return False
