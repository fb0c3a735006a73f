"""May one more request be answered now? The token bucket of web.yml's `rate_limit`."""

from __future__ import annotations

import time


class TokenBucket:
    """Fills with one token an interval up to a burst; every request takes one."""

    def __init__(self, interval: float, burst: int) -> None:
        """Takes the interval in seconds, above 0."""
        self._interval = interval
        self._burst = burst
        self._tokens = float(burst)
        self._at = time.monotonic()

    def take(self) -> bool:
        """Takes a token; False where none is left."""
        now = time.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) / self._interval)
        self._at = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True
