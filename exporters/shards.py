"""Which part of a city does this exporter probe? Several share a city: together exactly the whole."""

from __future__ import annotations

import re
import zlib
from typing import NamedTuple

#: `county=` takes this for what belongs to no county: the core, the clouds, the city's systems.
NO_COUNTY = "none"
_COUNTY = re.compile(r"^county=(?P<county>[a-z0-9][a-z0-9-]*)\Z")
_PART = re.compile(r"^(?P<number>\d{1,4})/(?P<of>\d{1,4})\Z")


class Shard(NamedTuple):
    """A county, or one of several parts of about the same size; the whole where nothing is said.

    Attributes:
        county: The county's site id, or `none` for what belongs to no county; empty for all.
        number: Which part, from 1.
        of: How many parts there are.
    """

    county: str = ""
    number: int = 1
    of: int = 1

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left to others."""
        return not self.county and self.of == 1

    def holds(self, subject: str, county: str) -> bool:
        """Whether a node or system is this shard's: all its checks, in both families.

        The part follows from the subject's name alone, so that an edit of the inventory moves nothing else.
        """
        if self.county and self.county != (county or NO_COUNTY):
            return False
        return zlib.crc32(subject.encode()) % self.of == self.number - 1


#: All of it.
WHOLE = Shard()


def parse_shard(text: str) -> Shard:
    """The shard of `county=360981`, `county=none` or `2/4`.

    Raises:
        ValueError: The text is none of these.
    """
    if found := _COUNTY.match(text):
        return Shard(county=found["county"])
    found = _PART.match(text)
    if found and 1 <= int(found["number"]) <= int(found["of"]):
        return Shard(number=int(found["number"]), of=int(found["of"]))
    raise ValueError(
        f"{text!r} is no shard; write county=SITE (a county's site), county={NO_COUNTY} (what belongs to no "
        "county) or NUMBER/OF such as 2/4"
    )
