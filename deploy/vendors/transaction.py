"""How does a device get from one configuration to another, whole or not at all?

Nothing is kept before a second, new connection has been answered and has read the configuration back. On VRP8 the lines
go into the candidate configuration, `commit trial` makes it run for a while, and `commit` keeps it; a refusal or a lost
connection leaves what ran before (NetEngine 8000, commit, abort trial, clear configuration candidate). Comware takes
lines at once: `configuration commit delay` first tells the device to go back by itself unless `configuration commit`
follows (HPE FlexNetwork 5510 HI, R1121 and later), and a refusal is undone line by line, from the difference back to
what ran before. A Comware too old for the delay is pushed to with the undo lines alone, and the result says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from deploy.vendors.dialects import COMWARE, DIALECTS, Dialect
from deploy.vendors.dialogue import PATIENCE, DeviceError, Dialogue, RefusedError, Target
from deploy.vendors.difference import MASK, Configuration, Difference, difference, owned, parse
from deploy.vendors.seals import as_it_is, as_shown, as_wanted, read_seals, write_seals
from inventories.records import OperatingSystemFamily

#: How long a device waits for the word that a change is good before it goes back by itself: VRP8 seconds (60 is its
#: least), Comware minutes. The guide that was read names no unit for the latter: were it seconds, a device would go
#: back amid a push, and the reading back would find that out.
TRIAL_SECONDS = 120
DELAY_MINUTES = 5
_UNLESS = "unless it was told to keep the change, it goes back by itself within"


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """All that a push to one device needs; it holds secrets, so it lives in a file of mode 0600."""

    node: str
    dialect: OperatingSystemFamily
    address: str
    port: int
    user: str
    key: str
    known_hosts: str
    wanted: str
    ports: tuple[str, ...]
    #: Passwords by peer address.
    passwords: dict[str, str]
    seals: str
    #: The difference that a person has seen; another one is not sent.
    seen: tuple[str, ...]
    patience: float = PATIENCE

    @property
    def target(self) -> Target:
        return Target(self.node, self.address, self.port, self.user, Path(self.key), Path(self.known_hosts))


class Outcome(msgspec.Struct, kw_only=True):
    """What a push did; without secrets."""

    node: str
    #: unchanged, changed, or failed.
    state: str = "failed"
    sent: int = 0
    #: What went wrong, in the device's own words where it has some.
    problem: str = ""
    #: What the device runs now, after a failure.
    afterwards: str = ""
    #: What still differs after a push.
    left: tuple[str, ...] = ()
    note: str = ""


def compare(request: Request, running: str) -> Difference:
    """What a device that displays `running` still needs."""
    dialect = DIALECTS[request.dialect]
    fingerprint = as_shown(request.passwords, read_seals(Path(request.seals)))
    return difference(
        owned(parse(running, fingerprint), dialect, request.ports),
        owned(parse(request.wanted, as_wanted), dialect, request.ports),
        dialect,
    )


def pending(request: Request) -> Difference:
    """Log in, read, compare.

    Raises:
        DeviceError: the device could not be read.
    """
    with Dialogue(request.target, DIALECTS[request.dialect], request.patience) as device:
        return compare(request, device.read_configuration())


def push(request: Request) -> Outcome:
    """Bring a device to the wanted configuration; never raises for what the device does."""
    outcome = Outcome(node=request.node)
    try:
        _push(request, outcome)
    except DeviceError as error:
        outcome.state = "failed"
        outcome.problem = str(error)
        outcome.afterwards = outcome.afterwards or _afterwards(request)
    for password in request.passwords.values():
        # A device's own words may repeat what it was told.
        outcome.problem = outcome.problem.replace(password, MASK)
        outcome.afterwards = outcome.afterwards.replace(password, MASK)
    return outcome


def _push(request: Request, outcome: Outcome) -> None:
    dialect = DIALECTS[request.dialect]
    with Dialogue(request.target, dialect, request.patience) as device:
        before = device.read_configuration()
        todo = compare(request, before)
        if not todo:
            outcome.state = "unchanged"
            return
        if todo.shown != request.seen:
            raise DeviceError("the device is not as it was when the difference was shown; look at it again")
        transaction = _Comware if dialect is COMWARE else _Vrp
        transaction(request, dialect, device, before, outcome).carry_out(todo)
    shown = _confirmed(request)
    write_seals(Path(request.seals), parse(shown, as_it_is), request.passwords)
    outcome.left = compare(request, shown).shown
    outcome.state = "changed"
    if outcome.left:
        outcome.state = "failed"
        outcome.problem = (
            f"the device took every line and still shows {len(outcome.left)} lines of difference"
        )


def _confirmed(request: Request) -> str:
    """What the device displays to a new connection."""
    with Dialogue(request.target, DIALECTS[request.dialect], request.patience) as device:
        return device.read_configuration()


def _afterwards(request: Request) -> str:
    """What a failed push left, seen over a new connection."""
    try:
        running = _confirmed(request)
    except DeviceError as error:
        return f"it could not be read afterwards: {error}"
    left = compare(request, running)
    if left.shown == request.seen:
        return "it runs what it ran before"
    # Of which password a ciphertext is, is known only after a push that was read back: leave passwords out.
    dialect = DIALECTS[request.dialect]
    shown, wanted = (
        owned(parse(text, as_wanted), dialect, request.ports) for text in (running, request.wanted)
    )
    if not difference(shown, wanted, dialect):
        return "it runs the new configuration"
    return f"{len(left.shown)} of {len(request.seen)} lines of the difference are still to do: look at it"


class _Transaction:
    """What both vendors' transactions have in common."""

    def __init__(
        self, request: Request, dialect: Dialect, device: Dialogue, before: str, outcome: Outcome
    ) -> None:
        self.request = request
        self.dialect = dialect
        self.device = device
        self.before = before
        self.outcome = outcome

    def send(self, commands: tuple[str, ...]) -> None:
        """Send line by line; the first that the device does not take ends it."""
        for command in commands:
            self.device.say(command)
            self.outcome.sent += command != "quit"

    def still_there(self) -> None:
        """A new connection is answered: the change has not locked anybody out."""
        with Dialogue(self.request.target, self.dialect, self.request.patience) as second:
            second.read_configuration()

    def attempt(self, what: Callable[[], Any]) -> str:
        """Try what undoes a change; what goes wrong at it, empty when nothing does."""
        try:
            what()
        except DeviceError as error:
            return str(error)
        return ""


class _Vrp(_Transaction):
    """Candidate, trial, commit."""

    def carry_out(self, todo: Difference) -> None:
        self.device.say("system-view")
        try:
            self.send(todo.commands)
            self.device.say(f"commit trial {TRIAL_SECONDS}", is_long=True)
        except RefusedError:
            self.attempt(self._forget)
            raise
        self.outcome.note = (
            f"unless it was told to keep the change, it goes back by itself within {TRIAL_SECONDS} s"
        )
        try:
            self.still_there()
        except DeviceError:
            self.attempt(lambda: self.device.say("abort trial", is_long=True))
            raise
        self.device.say("commit", is_long=True)
        self.outcome.note = ""
        self.device.say("return")
        self.device.say("save", is_long=True)

    def _forget(self) -> None:
        self.device.say("clear configuration candidate")
        self.device.say("return")


class _Comware(_Transaction):
    """Lines take effect at once; the device holds the way back, and so does the difference."""

    def carry_out(self, todo: Difference) -> None:
        self.device.say("system-view")
        timed = self._arm()
        try:
            self.send(todo.commands)
            self.still_there()
        except DeviceError as error:
            if timed:
                self.outcome.note = f"the device goes back by itself within {DELAY_MINUTES} minutes"
            self.outcome.afterwards = self._undo(same_session=isinstance(error, RefusedError))
            raise
        if timed:
            self.outcome.note = f"{_UNLESS} {DELAY_MINUTES} minutes"
            self.device.say("configuration commit", is_long=True)
            self.outcome.note = ""
        self.device.say("return")
        self.device.say("save force", is_long=True)

    def _arm(self) -> bool:
        """Have the device go back by itself unless it is told otherwise; False where it cannot."""
        try:
            self.device.say(f"configuration commit delay {DELAY_MINUTES}")
        except RefusedError:
            self.outcome.note = (
                "this device knows no commit delay: a push cut short would have to be undone by hand"
            )
            return False
        return True

    def _undo(self, *, same_session: bool) -> str:
        """Go back over the difference between what runs now and what ran before; what came of it."""
        again = (lambda: self._go_back(self.device)) if same_session else self._go_back_anew
        if problem := self.attempt(again):
            return f"going back failed as well: {problem}"
        self.outcome.note = ""
        return "every line was taken back: it runs what it ran before"

    def _go_back_anew(self) -> None:
        """The session is lost or waits for an answer: another one."""
        self.device.close()
        with Dialogue(self.request.target, self.dialect, self.request.patience) as device:
            self._go_back(device)

    def _go_back(self, device: Dialogue) -> None:
        device.say("return")
        back = _between(device.read_configuration(), self.before, self.request, self.dialect)
        device.say("system-view")
        for command in back.commands:
            device.say(command)
        device.say("return")
        left = _between(device.read_configuration(), self.before, self.request, self.dialect)
        if left:
            raise DeviceError(f"{len(left.shown)} lines still differ from what ran before")
        device.say("system-view")
        self.attempt(lambda: device.say("configuration commit"))


def _between(now: str, before: str, request: Request, dialect: Dialect) -> Difference:
    """What brings a device back to what it displayed before; its own ciphertexts are given back as they were."""
    known: Mapping[str, Configuration] = {
        name: owned(parse(text, as_it_is), dialect, request.ports)
        for name, text in (("now", now), ("before", before))
    }
    return difference(known["now"], known["before"], dialect)
