"""The order of a drill: what leads to what, that the way back is always taken, and what the record then says."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest

from checks.drills.definition import FALLBACK, FOLDER, RESTORE, STAGES, read_definition
from checks.drills.held import Held, hold_against
from checks.drills.playing import Played
from checks.drills.record import DrillRecord, Kind, Outcome
from checks.drills.running import NotBegunError, Run, Stop, healthy, hold, resumable
from checks.drills.under_way import Progress
from inventories.load import load_city

LAB = Path(__file__).resolve().parents[3] / "inventories/lab"
NAME = "restore-system-offsite"


@pytest.fixture
def held() -> Held:
    return hold_against(NAME, read_definition(NAME), load_city(LAB))


class Script:
    """Stages that print what they are told to and fail where they are told to; says what was played."""

    def __init__(self, held: Held, **problems: str) -> None:
        self.held = held
        self.problems = problems
        self.played: list[str] = []
        self.read: dict[str, dict[str, Any]] = {}
        self.before: Callable[[str], None] = lambda stage: None
        self.recovered = "same"
        self.silent = ""
        self.more: dict[str, list[str]] = {}

    def play(
        self, stage: str, seconds: int, cancelled: Callable[[], bool], more: Mapping[str, Any] | None = None
    ) -> Played:
        self.played.append(stage)
        self.read[stage] = dict(more or {}, seconds=seconds)
        self.before(stage)
        if cancelled():
            return Played((), "stopped")
        now = self.held.now()
        old = now - timedelta(seconds=100)
        lines = {
            "inject": [f"drill-moment fault {now.isoformat()}"],
            "detect": [f"drill-moment noticed {now.isoformat()}", f"drill-moment detected {now.isoformat()}"],
            "health": ["drill-tolerated RestoreTestFailed"] if more and more.get("tolerated") else [],
            "recover": [f"drill-moment snapshot {(now - timedelta(seconds=30)).isoformat()}"],
            "verify": [
                *(f"drill-moment serving-{family} {now.isoformat()}" for family in ("ipv4", "ipv6")),
                "drill-sum lost same index.html",
                f"drill-time lost {old.timestamp()} index.html",
                f"drill-sum recovered {self.recovered} index.html",
            ],
        }
        said = [] if stage == self.silent else [*lines.get(stage, []), *self.more.get(stage, [])]
        return Played(tuple(said), self.problems.get(stage, ""))


def begun(held: Held) -> Progress:
    began = held.now().isoformat()
    return Progress(drill=NAME, id=f"{NAME}-1", inventory="", records="", pid=0, began=began)


def run_of(
    script: Script,
    progress: Progress | None = None,
    decide: Callable[[], bool] = lambda: True,
    stop: Stop | None = None,
    save: Callable[[Progress], None] = lambda progress: None,
) -> Run:
    progress = progress or begun(script.held)
    return Run(script.held, script, progress, decide, lambda line: None, stop or Stop(), save)


def held_with(script: Script, decide: bool = True) -> DrillRecord:
    return hold(run_of(script, decide=lambda: decide))


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
    assert record.nodes["recovery"] == ("xinchuang-1",)
    assert record.planned
    assert record.next_due_at is not None
    assert record.next_due_at[:10] == (held.now() + timedelta(days=180)).date().isoformat()
    assert record.restore is None, "there is no restore.yml"
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


def test_a_tool_that_fails_takes_the_way_back_and_is_recorded(held: Held) -> None:
    script = Script(held)

    def die(stage: str) -> None:
        if stage == "recover":
            raise OSError("no space left on the controller")

    script.before = die
    record = held_with(script)
    assert script.played[-1] == FALLBACK
    assert record.stages[4].detail == "the tool failed: OSError: no space left on the controller"
    assert not record.success


def test_normal_operation_is_brought_back_after_the_fault_is_undone(held: Held, tmp_path: Path) -> None:
    class WithRestore(Held):
        @property
        def playbooks(self) -> dict[str, Path]:
            return {**super().playbooks, RESTORE: tmp_path / "restore.yml"}

    script = Script(WithRestore(*held), recover="it broke")
    record = held_with(script)
    assert script.played[-2:] == [FALLBACK, RESTORE]
    assert record.restore is not None
    script = Script(WithRestore(*held), restore="the backup did not run")
    record = held_with(script)
    assert not record.success
    assert record.issues[-1].what == "恢复正常运行未完成，须立即人工处理：the backup did not run"


def test_a_fault_without_its_moment_is_a_failure(held: Held) -> None:
    script = Script(held)
    script.silent = "inject"
    record = held_with(script)
    assert record.stages[1].outcome is Outcome.FAILED
    assert "drill-moment fault" in record.stages[1].detail
    assert script.played[-1] == FALLBACK


def test_detection_has_the_time_that_the_drill_gives_it(held: Held) -> None:
    script = Script(held)
    record = held_with(script)
    assert script.read["detect"]["detect_seconds"] == 600
    assert script.read["detect"]["seconds"] > 600
    assert script.read["detect"]["decide_on"] == "firing"
    assert script.read["recover"]["seconds"] == 120
    assert "fault" in script.read["detect"]["moments"]
    assert record.detection is not None
    assert record.detection.alert == "SystemEndpointDown"
    assert record.measured.detected_seconds is not None


def test_a_city_that_is_not_healthy_is_not_touched(held: Held) -> None:
    script = Script(held, health="the city is not healthy: CityNodeDown")
    with pytest.raises(NotBegunError, match=r"CityNodeDown; .*--tolerate ALERT"):
        healthy(held, script, 5, [], Stop())
    assert script.played == ["health"]
    script = Script(held)
    assert healthy(held, script, 5, ["RestoreTestFailed"], Stop()) == ["RestoreTestFailed"]
    assert script.read["health"]["tolerated"] == ["RestoreTestFailed"]


def test_a_city_that_nobody_watches_is_not_touched(held: Held) -> None:
    nodes = {name: node for name, node in held.city.nodes.items() if name != "ops-1"}
    blind = held._replace(city=msgspec.structs.replace(held.city, nodes=nodes))
    with pytest.raises(NotBegunError, match="no operations node"):
        healthy(blind, Script(blind), 5, [], Stop())


@pytest.mark.parametrize("stage", ["detect", "decide", "verify"])
def test_a_drill_whose_tool_died_goes_on_where_it_stopped(held: Held, stage: str) -> None:
    """What was saved before the stage is all that is known afterwards."""
    saved: list[bytes] = []
    held_script = Script(held)
    hold(run_of(held_script, save=lambda progress: saved.append(msgspec.json.encode(progress))))
    journal = next(
        one for one in (msgspec.json.decode(text, type=Progress) for text in saved) if one.stage == stage
    )
    assert resumable(held, journal) == ""
    script = Script(held)
    record = hold(run_of(script, progress=msgspec.structs.replace(journal, resumed=True)))
    assert script.played == [*STAGES[STAGES.index(stage) :], FALLBACK]
    assert record.success, record.issues
    assert record.resumed
    assert [one.name for one in record.stages] == list(STAGES)


def test_what_may_be_half_done_is_not_begun_again(held: Held) -> None:
    progress = begun(held)
    for stage in ("inject", "recover"):
        progress.stage = stage
        assert f"died in the stage {stage}" in resumable(held, progress)
    careful = held._replace(definition=msgspec.structs.replace(held.definition, resume=("recover",)))
    assert resumable(careful, progress) == ""
    progress.stage = FALLBACK
    assert resumable(held, progress) == ""
    progress.done = [msgspec.structs.replace(held_with(Script(held, detect="no")).stages[2])]
    assert "detect had failed" in resumable(held, progress)


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
        record = hold(run_of(script, stop=stop))
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
        record = hold(run_of(script, decide=ask, stop=stop))
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
    script = Script(held._replace(rpo=10))
    record = held_with(script)
    assert not record.success
    assert [issue.what[:3] for issue in record.issues] == ["RPO"]


def test_a_way_back_that_fails_is_to_be_put_right_today(held: Held) -> None:
    record = held_with(Script(held, fallback="the data are not back in their place"))
    assert record.fallback.outcome is Outcome.FAILED
    assert not record.success
    assert record.issues[-1].due == record.ended_at[:10]


def test_what_has_no_rpo_is_not_measured_against_one(held: Held) -> None:
    script = Script(held._replace(rpo=None))
    script.silent = "recover"
    record = held_with(script)
    assert record.success, record.issues
    assert record.measured.rpo_objective_seconds is None


def test_records_that_a_cut_took_from_the_disk_are_an_issue(held: Held) -> None:
    script = Script(held)
    script.more["inject"] = ["drill-record lost a 1754011810.1", "drill-record lost b 1754011810.2"]
    script.more[FALLBACK] = ["drill-record survived a 1754011810.1"]
    record = held_with(script)
    assert "故障前已落盘的1条记录在恢复供电后的磁盘上缺失" in [issue.what for issue in record.issues]


def simulated(held: Held) -> Held:
    """The example without its fault; its inject.yml is still there."""
    return held._replace(
        definition=msgspec.structs.replace(held.definition, kind=Kind.SIMULATED, detection=None)
    )


def test_a_simulated_drill_makes_no_fault_and_its_record_says_so(held: Held) -> None:
    assert (FOLDER / NAME / "playbooks/inject.yml").exists()
    script = Script(simulated(held))
    record = held_with(script)
    assert script.played == ["prepare", "decide", "recover", "verify", FALLBACK]
    assert record.kind is Kind.SIMULATED
    outcomes = {stage.name: stage.outcome for stage in record.stages}
    assert (outcomes["inject"], outcomes["detect"]) == (Outcome.SKIPPED, Outcome.SKIPPED)
    assert "未注入故障" in record.stages[1].detail
    assert record.timeline.fault is not None, "RTO counts from when it was said"
    assert (record.measured.noticed_seconds, record.measured.detected_seconds) == (None, None)
    assert record.measured.rto_seconds is not None
    assert record.success, record.issues


def test_a_simulated_drill_that_died_after_its_fault_was_said_goes_on(held: Held) -> None:
    progress = begun(held)
    hold(run_of(Script(simulated(held)), progress))
    del progress.done[3:]
    assert progress.done[-1].outcome is Outcome.SKIPPED
    assert resumable(simulated(held), progress) == ""


def test_a_test_alert_of_a_simulated_drill_s_own_is_waited_for(held: Held, tmp_path: Path) -> None:
    class WithAlert(Held):
        @property
        def playbooks(self) -> dict[str, Path]:
            return {**super().playbooks, "detect": tmp_path / "detect.yml"}

    script = Script(WithAlert(*simulated(held)))
    record = held_with(script)
    assert script.played[:2] == ["prepare", "detect"]
    assert record.measured.detected_seconds is not None


def test_what_a_step_notes_is_in_the_record(held: Held) -> None:
    script = Script(held)
    script.more["verify"] = ["drill-note ops-1本地监测库：没有数据"]
    assert held_with(script).notes == ("ops-1本地监测库：没有数据",)
