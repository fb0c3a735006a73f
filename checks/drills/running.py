"""Holds a drill: stage after stage, falls back in any case, and says what was measured."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from types import FrameType
from typing import NamedTuple, Protocol
from zoneinfo import ZoneInfo

from checks.drills import measuring
from checks.drills.definition import FALLBACK, STAGES, Definition, DrillError
from checks.drills.playing import Played
from checks.drills.record import VERSION, DataCheck, DrillRecord, Issue, Measured, Outcome, Stage
from inventories.backups.records import BackupPolicy
from inventories.records import City, System

#: Who is under way: a drill that died is seen by the next one, which falls back for it first.
UNDER_WAY = ".under-way"


class Stages(Protocol):
    """What plays the stages."""

    def play(self, stage: str, seconds: int, cancelled: Callable[[], bool]) -> Played: ...


class Held(NamedTuple):
    """What is held, where, and for which objectives."""

    name: str
    definition: Definition
    city: City
    system: System
    policy: BackupPolicy

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.city.layout.time_zone)

    def now(self) -> datetime:
        return datetime.now(self.zone)


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
    def listening(self) -> Iterator[None]:
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
            yield
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


def hold(
    held: Held, stages: Stages, decide: Callable[[], bool], say: Callable[[str], None], stop: Stop
) -> DrillRecord:
    """Hold the drill, fall back, and return its record.

    `decide` is asked whether to recover once the fault has been seen and the copy found reachable.

    Raises:
        NotBegunError: the city is not well enough; nothing was broken, and no record is due.
    """
    began, seen, done = held.now(), measuring.Seen(), []
    try:
        for name in STAGES:
            if name == "recover":
                seen.moments["started"] = held.now()
            stage = _play(held, stages, name, seen, say, stop)
            if name == "decide" and stage.outcome is Outcome.DONE:
                stage = _decided(held, stage, decide, seen, stop)
            done.append(stage)
            if stage.outcome is not Outcome.DONE:
                break
    finally:
        fallback = fall_back(held, stages, say)
    if done[-1].name == "prepare":
        put_back = fallback.outcome is Outcome.DONE
        left = "" if put_back else f"; what was prepared is still there: {fallback.detail}"
        raise NotBegunError(f"not begun, and nothing was broken: {done[-1].detail}{left}", put_back=put_back)
    return _record(held, began, seen, done, fallback, aborted=stop.asked)


def fall_back(held: Held, stages: Stages, say: Callable[[str], None]) -> Stage:
    """Put all back as it was; may be done again, and is not to be stopped."""
    return _play(held, stages, FALLBACK, measuring.Seen(), say, lambda: False)


def _play(
    held: Held,
    stages: Stages,
    name: str,
    seen: measuring.Seen,
    say: Callable[[str], None],
    stop: Callable[[], bool],
) -> Stage:
    began = held.now()
    played = Played((), "stopped") if stop() else stages.play(name, held.definition.stage_seconds, stop)
    problem = played.problem
    try:
        seen.read(played.lines)
    except ValueError as error:
        problem = problem or f"a task printed what cannot be read: {error}"
    seconds = round((held.now() - began).total_seconds(), 3)
    outcome = Outcome.FAILED if problem else Outcome.DONE
    say(f"{name}: {outcome} in {seconds:.1f} s{f': {problem}' if problem else ''}")
    return Stage(name=name, started_at=_text(began), seconds=seconds, outcome=outcome, detail=problem)


def _decided(held: Held, stage: Stage, decide: Callable[[], bool], seen: measuring.Seen, stop: Stop) -> Stage:
    try:
        with stop.at_once():
            yes = decide()
    except StoppedError:
        yes = False
    moment = held.now()
    if yes:
        seen.moments["decided"] = moment
    seconds = (moment - datetime.fromisoformat(stage.started_at)).total_seconds()
    return Stage(
        name=stage.name,
        started_at=stage.started_at,
        seconds=round(seconds, 3),
        outcome=Outcome.DONE if yes else Outcome.FAILED,
        detail="" if yes else "stopped" if stop.asked else "it was decided not to recover",
    )


def _record(
    held: Held, began: datetime, seen: measuring.Seen, done: list[Stage], fallback: Stage, *, aborted: bool
) -> DrillRecord:
    definition, ended = held.definition, held.now()
    found = measuring.measured(seen, held.policy.rto, held.policy.rpo)
    data = measuring.data_check(seen, held.zone)
    reached = {stage.name for stage in done}
    missing = [
        Stage(name=name, started_at="", seconds=0.0, outcome=Outcome.NOT_REACHED)
        for name in STAGES
        if name not in reached
    ]
    issues = tuple(_issues(held, found, data, done, fallback, ended))
    return DrillRecord(
        version=VERSION,
        id=f"{held.name}-{began:%Y%m%dT%H%M%S}",
        drill=held.name,
        title=definition.title,
        plan=definition.plan,
        scope=definition.scope,
        kind=definition.kind,
        planned=definition.planned,
        city=held.city.layout.name,
        system=held.system.id,
        system_name=held.system.name,
        policy=held.policy.id,
        nodes={part: getattr(definition.nodes, part) for part in definition.nodes.__struct_fields__},
        participants=definition.participants,
        stop_conditions=definition.stop_conditions,
        started_at=_text(began),
        ended_at=_text(ended),
        success=not issues and not aborted,
        aborted=aborted,
        timeline=measuring.timeline(seen, held.zone),
        serving_by_family=measuring.serving_by_family(seen, held.zone),
        stages=(*done, *missing),
        measured=found,
        data_check=data,
        fallback=fallback,
        issues=issues,
    )


def _issues(
    held: Held, found: Measured, data: DataCheck, done: list[Stage], fallback: Stage, ended: datetime
) -> Iterator[Issue]:
    """What the drill showed to be wrong, each for the policy's owner, in words of the record."""
    unit = held.city.units.get(held.policy.owner)
    owner = unit.name if unit else held.policy.owner
    due = (ended + timedelta(days=held.definition.due_days)).date().isoformat()
    failed = [stage for stage in done if stage.outcome is Outcome.FAILED]
    for stage in failed:
        yield Issue(what=f"阶段“{STAGE_NAMES[stage.name]}”未完成：{stage.detail}", owner=owner, due=due)
    for name, value, objective in (
        ("RTO", found.rto_seconds, found.rto_objective_seconds),
        ("RPO", found.rpo_seconds, found.rpo_objective_seconds),
    ):
        if value is None and failed:
            continue
        if value is None:
            yield Issue(what=f"{name}未能测得", owner=owner, due=due)
        elif value > objective:
            yield Issue(what=f"{name}实测{value:.1f}秒，超过目标{objective:.0f}秒", owner=owner, due=due)
    if data.outcome is Outcome.FAILED:
        wrong = "、".join((*data.differing, *data.missing)[:3])
        yield Issue(what=f"恢复的数据与原数据不一致：{wrong}", owner=owner, due=due)
    if fallback.outcome is not Outcome.DONE:
        yield Issue(
            what=f"回退未完成，须立即人工处理：{fallback.detail}", owner=owner, due=ended.date().isoformat()
        )


#: What people call the stages.
STAGE_NAMES: Mapping[str, str] = {
    "prepare": "准备",
    "inject": "注入故障",
    "detect": "发现",
    "decide": "决策",
    "recover": "恢复",
    "verify": "验证",
    FALLBACK: "回退",
}


def begin(records: Path, drill: str, fall_back_for: Callable[[str], bool]) -> None:
    """Hold the records folder for one drill at a time, until :func:`end`.

    `fall_back_for` undoes a drill whose tool died, and says whether all is back.

    Raises:
        DrillError: another drill is under way, or one that died could not be undone.
        OSError: the folder cannot be written.
    """
    records.mkdir(parents=True, exist_ok=True)
    mark = records / UNDER_WAY
    left = _read_mark(mark)
    if left is not None:
        name, pid, started = left
        if _started(pid) == started:
            raise DrillError(f"the drill {name} is under way (process {pid}); wait for it to end")
        if not fall_back_for(name):
            raise DrillError(f"the drill {name} was not undone when it ended, and cannot be now; see above")
    mark.unlink(missing_ok=True)
    content = {"drill": drill, "pid": os.getpid(), "started": _started(os.getpid())}
    try:
        with mark.open("x", encoding="utf-8") as file:
            json.dump(content, file)
    except FileExistsError:
        raise DrillError("another drill began at this moment; wait for it to end") from None


def end(records: Path) -> None:
    """All is as it was: the next drill may begin."""
    (records / UNDER_WAY).unlink(missing_ok=True)


def _read_mark(mark: Path) -> tuple[str, int, int] | None:
    try:
        content = json.loads(mark.read_text(encoding="utf-8"))
        return str(content["drill"]), int(content["pid"]), int(content["started"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _started(pid: int) -> int:
    """When a process began (clock ticks since boot), which tells it from a later one of its number; 0: gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return 0
    return int(stat.rpartition(")")[2].split()[19])


def _text(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds")
