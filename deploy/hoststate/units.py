"""systemd units that shall run and be enabled, or neither: any number of them in one fact command."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from pyinfra import host
from pyinfra.api import FactBase, StringCommand, operation


class UnitStates(FactBase[dict[str, tuple[str, str]]]):
    """Each unit's ActiveState and UnitFileState; units in passing states are given up to 10 s to settle."""

    default = dict

    def command(self, units: Sequence[str]) -> str:
        names = " ".join(shlex.quote(unit) for unit in units)
        return (
            f"for unit in {names}; do for try in 1 2 3 4 5 6 7 8 9 10; do "
            'state=$(systemctl show -p ActiveState --value -- "$unit"); '
            "case $state in activating|deactivating|reloading) sleep 1;; *) break;; esac; done; "
            'printf \'%s %s %s\\n\' "$unit" "$state" "$(systemctl is-enabled -- "$unit" 2>/dev/null)"; done'
        )

    def process(self, output: Iterable[str]) -> dict[str, tuple[str, str]]:
        states = {}
        for line in output:
            unit, active, *enabled = line.split()
            states[unit] = (active, enabled[0] if enabled else "")
        return states


#: What `systemctl is-enabled` says of units that start by themselves, or that cannot be enabled.
ENABLED = frozenset({"enabled", "static", "alias", "indirect", "generated", "enabled-runtime"})


@operation()
def units(running: Sequence[str] = (), stopped: Sequence[str] = ()) -> Iterator[StringCommand]:
    """Units that shall be enabled and active, and units that shall be disabled and inactive.

    + running: unit names with suffix, services or timers
    + stopped: unit names with suffix
    """
    states = host.get_fact(UnitStates, units=(*running, *stopped)) or {}
    enable = [unit for unit in running if states.get(unit, ("", ""))[1] not in ENABLED]
    start = [unit for unit in running if states.get(unit, ("", ""))[0] != "active"]
    disable = [
        unit
        for unit in stopped
        if states.get(unit, ("", ""))[1] == "enabled" or states.get(unit, ("", ""))[0] == "active"
    ]
    if enable:
        yield StringCommand("systemctl enable --quiet --", *map(shlex.quote, enable))
    if start:
        yield StringCommand("systemctl reset-failed --", *map(shlex.quote, start), "2>/dev/null || true")
        yield StringCommand("systemctl start --", *map(shlex.quote, start))
    if disable:
        yield StringCommand("systemctl disable --quiet --now --", *map(shlex.quote, disable))
    if not (enable or start or disable):
        host.noop("the units are as they shall be")
