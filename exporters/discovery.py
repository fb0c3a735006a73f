"""What is there to scrape? The targets of every job of Prometheus's, as http_sd takes them."""

from __future__ import annotations

import json
import threading

from exporters.prometheus import Settings, groups_of
from inventories.plan import build_plan
from inventories.records import City


class Discovery:
    """The lists of one city, made once: a plan of a whole city takes longer than a request should."""

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()
        self._city: City | None = None
        self._jobs: dict[str, bytes] = {}
        self._lock = threading.Lock()

    def jobs(self, city: City) -> dict[str, bytes]:
        """The list of each job, in JSON."""
        with self._lock:
            if city is not self._city:
                groups = groups_of(city, build_plan(city), self._settings)
                self._jobs = {job: json.dumps(group).encode() for job, group in groups.items()}
                self._city = city
            return self._jobs
