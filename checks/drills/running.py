"""Holds a drill: stage after stage, puts all back in any case, and says what was measured."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from types import FrameType
from typing import Any, NamedTuple, Protocol

from checks.drills.definition import FALLBACK, REPEATABLE, RESTORE, STAGES, DrillError
from checks.drills.held import Held
from checks.drills.measuring import Seen
from checks.drills.playing import Played
from checks.drills.record import DrillRecord, Kind, Outcome, Stage
from checks.drills.summing_up import record_of
from checks.drills.under_way import Progress
from inventories.cells import seconds

#: What a simulated drill leaves out, and what its record says of that.
SIMULATED = {"inject": "模拟演练：未注入故障，以此刻为约定的故障发生时刻", "detect": "模拟演练：监测发现未测"}
#: What a stage may take beyond the time that is given to what it waits for, in seconds.
GRACE = 30


class Stages(Protocol):
    """What plays the stages."""

    def play(
        self, stage: str, seconds: int, cancelled: Callable[[], bool], more: Mapping[str, Any] | None = None
    ) -> Played: ...


class Run(NamedTuple):
    """A drill that is being held: what plays its stages, who decides, where progress goes and how it is told."""

    held: Held
    stages: Stages
    progress: Progress
    decide: Callable[[], bool]
    say: Callable[[str], None]
    stop: Stop
    save: Callable[[Progress], None]


class NotBegunError(DrillError):
    """The city is not well enough for the drill; nothing was broken. `put_back`: nothing of it is left either."""

    def __init__(self, message: str, *, put_back: bool) -> None:
        super().__init__(message)
        self.put_back = put_back


class StoppedError(Exception):
    """Somebody asked to stop while a person was being asked something."""


class Stop:
    """Whether somebody asked to stop (Ctrl-C, SIGTERM): the stage ends, and the fall back runs undisturbed."""

    def __init__(self) -> None:
        self.asked = False
        self._at_once = False

    def __call__(self) -> bool:
        return self.asked

    @contextmanager
    def listening(self) -> Iterator[Stop]:
        """Take the signals over for as long as the drill is under way."""

        def ask(number: int, frame: FrameType | None) -> None:
            self.asked = True
            if self._at_once:
                self._at_once = False
                raise StoppedError

        before = {
            number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        }
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Raise StoppedError as soon as a signal arrives: Python would go on reading an answer after it."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False


def healthy(held: Held, stages: Stages, wait: int, tolerated: list[str], stop: Stop) -> list[str]:
    """Ask monitoring whether the city is well, for `wait` seconds; returns the critical alerts that are tolerated.

    Raises:
        NotBegunError: it is not, or nobody knows.
    """
    if "operations" not in held.groups:
        raise NotBegunError("no operations node: nobody knows whether the city is well", put_back=True)
    played = stages.play("health", wait + GRACE, stop, {"healthy_seconds": wait, "tolerated": tolerated})
    if played.problem:
        way_out = "see jizuo check, or name what is no obstacle with --tolerate ALERT"
        raise NotBegunError(f"not begun: {played.problem}; {way_out}", put_back=True)
    seen = Seen()
    seen.read(played.lines)
    return seen.tolerated


def hold(run: Run) -> DrillRecord:
    """Hold the drill from where its progress stands, put all back, and return its record.

    `decide` is asked whether to recover once the fault has been detected.

    Raises:
        NotBegunError: the city is not well enough; nothing was broken, and no record is due.
    """
    progress = run.progress
    try:
        for name in STAGES[len(progress.done) :]:
            progress.done.append(_stage(run, name))
            if not progress.done[-1].outcome.well:
                break
    finally:
        back = put_back(run)
    last = progress.done[-1] if progress.done else None
    if last and last.name == "prepare":
        ok = all(stage.outcome is Outcome.DONE for stage in back)
        left = "" if ok else f"; what was prepared is still there: {back[0].detail or back[-1].detail}"
        raise NotBegunError(f"not begun, and nothing was broken: {last.detail}{left}", put_back=ok)
    return record_of(run.held, progress, back, aborted=run.stop.asked)


def put_back(run: Run) -> list[Stage]:
    """Undo the fault and bring normal operation back; may be done again, and is not to be stopped."""
    never_stopped = run._replace(stop=Stop())
    back = [_play(never_stopped, FALLBACK)]
    if RESTORE in run.held.playbooks:
        back.append(_play(never_stopped, RESTORE))
    return back


def resumable(held: Held, progress: Progress) -> str:
    """Why a drill cannot go on from where its tool died; empty when it can."""
    harmless = {"prepare", FALLBACK, RESTORE} | REPEATABLE | set(held.definition.resume)
    if progress.stage and progress.stage not in harmless:
        return f"it died in the stage {progress.stage}, which may be half done and cannot be begun again"
    if progress.done and not progress.done[-1].outcome.well:
        return f"its stage {progress.done[-1].name} had failed, and it was putting all back"
    return ""


def _stage(run: Run, name: str) -> Stage:
    """Play a stage, whatever becomes of it."""
    if run.held.definition.kind is Kind.SIMULATED and name in SIMULATED and name not in run.held.playbooks:
        return _skipped(run, name)
    if name == "recover":
        run.progress.seen.moments["started"] = run.held.now()
    try:
        stage = _play(run, name)
    except Exception as error:  # the way back matters more than what kind of trouble the tool has
        detail = f"the tool failed: {type(error).__name__}: {error}"
        run.say(f"{name}: {detail}")
        return Stage(
            name=name, started_at=_text(run.held.now()), seconds=0.0, outcome=Outcome.FAILED, detail=detail
        )
    if name == "decide" and stage.outcome is Outcome.DONE:
        return _decided(run, stage)
    return stage


def _skipped(run: Run, name: str) -> Stage:
    """What a simulated drill does not do; its fault is said to happen now."""
    now = run.held.now()
    if name == "inject":
        run.progress.seen.moments["fault"] = now
    run.say(f"{name}: simulated, nothing is done")
    return Stage(
        name=name, started_at=_text(now), seconds=0.0, outcome=Outcome.SKIPPED, detail=SIMULATED[name]
    )


def _play(run: Run, name: str) -> Stage:
    held, progress = run.held, run.progress
    began = held.now()
    progress.stage = name
    run.save(progress)
    limit, more = _limit_and_more(run, name)
    played = Played((), "stopped") if run.stop() else run.stages.play(name, limit, run.stop, more)
    problem = played.problem
    try:
        progress.seen.read(played.lines)
    except ValueError as error:
        problem = problem or f"a task printed what cannot be read: {error}"
    if name == "inject" and not problem and "fault" not in progress.seen.moments:
        problem = "no task printed a drill-moment fault: nothing could be measured from it"
    took = round((held.now() - began).total_seconds(), 3)
    outcome = Outcome.FAILED if problem else Outcome.DONE
    run.say(f"{name}: {outcome} in {took:.1f} s{f': {problem}' if problem else ''}")
    progress.stage = ""
    return Stage(name=name, started_at=_text(began), seconds=took, outcome=outcome, detail=problem)


def _limit_and_more(run: Run, name: str) -> tuple[int, dict[str, Any]]:
    """How long a stage may take, and what its playbook reads of the drill so far."""
    definition, progress = run.held.definition, run.progress
    moments = {key: _text(moment) for key, moment in progress.seen.moments.items()}
    more = {"moments": moments, "decide_on": progress.decide_on}
    if name == "detect" and definition.detection is not None:
        within = seconds("within", definition.detection.within)
        return within + GRACE, {**more, "detect_seconds": within}
    return definition.stage_seconds, more


def _decided(run: Run, stage: Stage) -> Stage:
    try:
        with run.stop.at_once():
            yes = run.decide()
    except StoppedError:
        yes = False
    moment = run.held.now()
    if yes:
        run.progress.seen.moments["decided"] = moment
    took = (moment - datetime.fromisoformat(stage.started_at)).total_seconds()
    return Stage(
        name=stage.name,
        started_at=stage.started_at,
        seconds=round(took, 3),
        outcome=Outcome.DONE if yes else Outcome.FAILED,
        detail="" if yes else "stopped" if run.stop.asked else "it was decided not to recover",
    )


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
