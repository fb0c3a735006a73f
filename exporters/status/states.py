"""How bad is it? The four states of the page, in words and shapes, so that no colour is needed to tell them."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class State(StrEnum):
    """A state; the page gives each a word, a shape and a colour."""

    OK = "ok"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


#: From the least to the worst; the unknown is worse than a warning, since it may hide anything.
_ORDER = (State.OK, State.WARNING, State.UNKNOWN, State.CRITICAL)
#: For sorting: the worst first.
RANK = {state: -rank for rank, state in enumerate(_ORDER)}


def worst(states: Iterable[State]) -> State:
    """The worst of states; OK of none."""
    return max(states, key=_ORDER.index, default=State.OK)
