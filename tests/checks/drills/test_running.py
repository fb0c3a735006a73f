"""The order of a drill: what leads to what, that the way back is always taken, and what the record then says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import click
import msgspec
import pytest

from checks.drills.definition import FALLBACK, STAGES, DrillError, drill_names, hold_against, read_definition
from checks.drills.playing import Played
from checks.drills.record import DrillRecord, Outcome, read_record, record_paths, write_record
from checks.drills.running import UNDER_WAY, Held, NotBegunError, Stop, begin, end, hold
from inventories.load import load_city
from tests.checks.drills.examples import example

LAB = Path(__file__).resolve().parents[3] / "inventories/lab"
NAME = "restore-system-offsite"


@pytest.fixture
def held() -> Held:
    definition, city = read_definition(NAME), load_city(LAB)
    return Held(NAME, definition, city, *hold_against(NAME, definition, city))


class Script:
    """Stages that print what they are told to and fail where they are told to; says what was played."""

    def __init__(self, held: Held, **problems: str) -> None:
        self.held = held
        self.problems = problems
        self.played: list[str] = []
        self.before: Callable[[str], None] = lambda stage: None
        self.recovered = "same"

    def play(self, stage: str, seconds: int, cancelled: Callable[[], bool]) -> Played:
        self.played.append(stage)
        self.before(stage)
        if cancelled():
            return Played((), "stopped")
        now = self.held.now()
        old = now - timedelta(seconds=100)
        lines = {
            "inject": [f"drill-moment fault {now.isoformat()}"],
            "detect": [f"drill-moment detected-{family} {now.isoformat()}" for family in ("ipv4", "ipv6")],
            "recover": [f"drill-moment snapshot {(now - timedelta(seconds=30)).isoformat()}"],
            "verify": [
                *(f"drill-moment serving-{family} {now.isoformat()}" for family in ("ipv4", "ipv6")),
                "drill-sum lost same index.html",
                f"drill-time lost {old.timestamp()} index.html",
                f"drill-sum recovered {self.recovered} index.html",
            ],
        }
        return Played(tuple(lines.get(stage, [])), self.problems.get(stage, ""))


def held_with(script: Script, decide: bool = True) -> DrillRecord:
    return hold(script.held, script, lambda: decide, lambda line: None, Stop())


def test_a_drill_that_goes_well(held: Held) -> None:
    script = Script(held)
    record = held_with(script)
    assert script.played == [*STAGES, FALLBACK]
    assert record.success, record.issues
    assert [stage.outcome for stage in record.stages] == [Outcome.DONE] * 6
    moments = list(msgspec.structs.asdict(record.timeline).values())
    assert None not in moments
    assert moments == sorted(moments)
    assert record.measured.rto_objective_seconds == 900
    assert record.measured.rpo_seconds == pytest.approx(30, abs=1)
    assert record.nodes == {
        "lost": "cloud-1",
        "recovery": "xinchuang-1",
        "source": "offsite-1",
        "client": "client-1",
    }
    assert record.city == "宜春市"
    assert record.ended_at.endswith("+08:00")


@pytest.mark.parametrize("stage", STAGES[1:])
def test_whatever_fails_the_way_back_is_taken(held: Held, stage: str) -> None:
    script = Script(held, **{stage: "it broke"})
    record = held_with(script)
    assert script.played == [*STAGES[: STAGES.index(stage) + 1], FALLBACK]
    assert not record.success
    assert "it broke" in record.issues[0].what
    assert record.issues[0].owner == "市行政审批局"
    assert record.stages[STAGES.index(stage)].outcome is Outcome.FAILED
    assert {one.outcome for one in record.stages[STAGES.index(stage) + 1 :]} <= {Outcome.NOT_REACHED}


def test_a_city_that_is_not_well_is_not_touched(held: Held) -> None:
    script = Script(held, prepare="client-1: the client is not served")
    with pytest.raises(
        NotBegunError, match="nothing was broken: client-1: the client is not served"
    ) as refused:
        held_with(script)
    assert script.played == ["prepare", FALLBACK]
    assert refused.value.put_back


def test_a_stage_that_raises_still_takes_the_way_back(held: Held) -> None:
    script = Script(held)

    def die(stage: str) -> None:
        if stage == "recover":
            raise OSError("no space left on the controller")

    script.before = die
    with pytest.raises(OSError, match="no space"):
        held_with(script)
    assert script.played[-1] == FALLBACK


def test_a_decision_against_recovery(held: Held) -> None:
    script = Script(held)
    record = held_with(script, decide=False)
    assert script.played == ["prepare", "inject", "detect", "decide", FALLBACK]
    assert record.timeline.decided is None
    assert not record.success


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_stage_and_not_the_way_back(held: Held, number: signal.Signals) -> None:
    script, stop = Script(held), Stop()

    def interrupt(stage: str) -> None:
        if stage in ("recover", FALLBACK):  # once while it recovers, and again out of impatience
            os.kill(os.getpid(), number)

    script.before = interrupt
    before = signal.getsignal(number)
    with stop.listening():
        record = hold(held, script, lambda: True, lambda line: None, stop)
    assert signal.getsignal(number) is before
    assert script.played == ["prepare", "inject", "detect", "decide", "recover", FALLBACK]
    assert record.aborted
    assert not record.success
    assert record.fallback.outcome is Outcome.DONE


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_at_the_question_ends_the_drill_at_once(held: Held, number: signal.Signals) -> None:
    """The question waits at a real terminal, and nobody answers."""
    script, stop = Script(held), Stop()
    controller, terminal = os.openpty()
    signaller = threading.Timer(0.2, os.kill, (os.getpid(), number))
    answer = threading.Timer(10, os.write, (controller, b"y\n"))  # so that a test that fails also ends

    def ask() -> bool:
        signaller.start()
        answer.start()
        return click.confirm("Recover it?", default=True)

    with os.fdopen(terminal) as source, pytest.MonkeyPatch.context() as patch, stop.listening():
        patch.setattr("sys.stdin", source)
        record = hold(held, script, ask, lambda line: None, stop)
    answer.cancel()
    os.close(controller)
    assert script.played == ["prepare", "inject", "detect", "decide", FALLBACK]
    assert record.aborted
    assert record.timeline.decided is None
    assert next(stage for stage in record.stages if stage.name == "decide").detail == "stopped"
    assert record.fallback.outcome is Outcome.DONE


def test_other_data_than_before_is_an_issue(held: Held) -> None:
    script = Script(held)
    script.recovered = "other"
    record = held_with(script)
    assert record.data_check.outcome is Outcome.FAILED
    assert [issue.what for issue in record.issues] == ["恢复的数据与原数据不一致：index.html"]


def test_an_objective_that_is_missed_is_an_issue(held: Held) -> None:
    policy = msgspec.structs.replace(held.policy, rpo=10)
    script = Script(held._replace(policy=policy))
    record = held_with(script)
    assert not record.success
    assert [issue.what[:3] for issue in record.issues] == ["RPO"]


def test_a_way_back_that_fails_is_to_be_put_right_today(held: Held) -> None:
    record = held_with(Script(held, fallback="the data are not back in their place"))
    assert record.fallback.outcome is Outcome.FAILED
    assert not record.success
    assert record.issues[-1].due == record.ended_at[:10]


def test_one_drill_at_a_time(tmp_path: Path) -> None:
    begin(tmp_path, NAME, lambda name: True)
    with pytest.raises(DrillError, match=f"the drill {NAME} is under way"):
        begin(tmp_path, NAME, lambda name: True)
    end(tmp_path)
    begin(tmp_path, NAME, lambda name: True)


def test_a_drill_whose_tool_died_is_undone_first(tmp_path: Path) -> None:
    dead = subprocess.run(["sh", "-c", "echo $$"], check=True, capture_output=True, text=True)
    (tmp_path / UNDER_WAY).write_text(json.dumps({"drill": NAME, "pid": int(dead.stdout), "started": 1}))
    undone: list[str] = []
    with pytest.raises(DrillError, match="cannot be now"):
        begin(tmp_path, NAME, lambda name: False)
    begin(tmp_path, NAME, lambda name: not undone.append(name))
    assert undone == [NAME]


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    record = example()
    assert read_record(write_record(tmp_path, record)) == record
    assert [path.stem for path in record_paths(tmp_path)] == [record.id]


def test_every_drill_of_the_kit_fits_the_lab() -> None:
    city = load_city(LAB)
    assert NAME in drill_names()
    for name in drill_names():
        definition = read_definition(name)
        assert {participant.unit for participant in definition.participants}
        hold_against(name, definition, city)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('lost = "cloud-1"', 'lost = "cloud-9"', "nodes.lost = 'cloud-9' is no node"),
        ('source = "offsite-1"', 'source = "ops-1"', "keeps nothing on ops-1"),
        ('policy = "gov-service"', 'policy = "collab-office"', "does not back yichun-gov-service-net up"),
        (
            'system = "yichun-gov-service-net"',
            'system = "collab-office"',
            "collab-office does not stand on cloud-1",
        ),
        ('kind = "live"', 'kind = "alive"', "Invalid enum value 'alive'"),
        ("planned = true", "plan_ned = true", "plan_ned"),
    ],
)
def test_a_definition_that_is_wrong_is_refused(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    source = LAB.parents[1] / "checks/drills" / NAME
    folder = tmp_path / NAME
    (folder / "playbooks").mkdir(parents=True)
    for stage in (*STAGES, FALLBACK):
        (folder / "playbooks" / f"{stage}.yml").touch()
    text = (source / "drill.toml").read_text()
    assert old in text
    (folder / "drill.toml").write_text(text.replace(old, new))
    with pytest.raises(DrillError, match=complaint):
        hold_against(NAME, read_definition(NAME, tmp_path), load_city(LAB))
