"""Do hosts stand as the inventory says? What the last check of drift found, for the pages and the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from exporters.drift import DriftRecord
from exporters.readings import epoch_seconds
from exporters.status.states import State

#: Seconds after which a check says nothing of today; the alert DriftNotChecked has the same.
OLD = 86400.0


class Drift(NamedTuple):
    """The last check.

    Attributes:
        checked: Hosts that it went to.
        drifted: Hosts on which operations are pending.
        operations: How many, in all.
        unread: Hosts that could not be read.
        age: Seconds since the check began.
    """

    checked: int
    drifted: Sequence[str]
    operations: int
    unread: Sequence[str]
    age: float

    @property
    def state(self) -> State:
        if self.unread:
            return State.UNKNOWN
        return State.WARNING if self.drifted or self.age > OLD else State.OK


def drift_view(record: DriftRecord, now: float) -> Drift:
    """The view of a record at a moment (seconds since the epoch)."""
    operations = sum(len(names) for host in record.hosts.values() for names in host.pending.values())
    age = now - epoch_seconds(record.at)
    return Drift(len(record.hosts), record.drifted, operations, record.unread, age)


def drift_reasons(drift: Drift | None) -> Iterable[tuple[State, str]]:
    """What is not well, a line each."""
    if drift is None:
        return
    if drift.drifted:
        yield State.WARNING, f"{len(drift.drifted)}台主机的配置与清单不一致，待变更{drift.operations}项"
    if drift.unread:
        yield State.UNKNOWN, f"{len(drift.unread)}台主机未能核对配置漂移"
    if drift.age > OLD:
        yield State.WARNING, "配置漂移核对已过期"
