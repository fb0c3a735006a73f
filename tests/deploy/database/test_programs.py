"""Programs of databases' nodes, as far as they need no database: what is due, what is sealed, what is known."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import datetime, time, timedelta
from pathlib import Path

import pytest

from deploy.database.program import keep, lasting, proving, seal, stamps
from deploy.database.program.__main__ import main
from deploy.database.program.configuration import Configuration, Place

DAY = 86400
NOW = 1_800_000_000.0
KEEPING = keep.Keeping("cloud-1-main", "/x", 7 * DAY, DAY, "22:00-06:00", "/bin/false", 2)


def taken(kind: str, days_ago: float, **more: object) -> dict[str, object]:
    return {"type": kind, "timestamp": {"stop": NOW - days_ago * DAY}, **more}


@pytest.mark.parametrize(
    ("there", "kind"),
    [
        ([], "full"),
        ([taken("full", 0.5)], ""),
        ([taken("full", 1.1)], "diff"),
        ([taken("full", 3), taken("diff", 0.5)], ""),
        ([taken("full", 7), taken("diff", 0.5)], "full"),
        (
            [taken("full", 6.5), taken("diff", 0.999)],
            "diff",
        ),  # due minutes early, since the timer looks every five
        ([taken("full", 0.5, error=True)], "full"),  # one with damaged pages counts for nothing
        ([taken("full", -2)], "full"),  # dated ahead of this clock
    ],
)
def test_which_backup_is_due(there: list[dict[str, object]], kind: str) -> None:
    assert keep.due(there, KEEPING, NOW) == kind


@pytest.mark.parametrize(
    ("there", "why"),
    [
        ([], ""),
        ([taken("full", 15), taken("full", 8), taken("full", 1)], ""),
        ([taken("full", 15), taken("full", 7), taken("full", 0)], ""),  # a minute after the third
        ([taken("full", 9), taken("full", 2)], ""),  # no more than are kept
        # Two that were taken in an hour would push out the one of a week ago.
        (
            [taken("full", 7), taken("full", 0.1), taken("full", 0.05)],
            "reach back 0.1 days, and the policy keeps 7",
        ),
        ([taken("full", 15), taken("full", 8, error=True), taken("full", 1)], "reach back 1.0 days"),
        ([taken("full", 15), taken("full", 8), taken("full", -1)], "1 backups are dated ahead"),
        ([taken("full", 30), taken("full", 23), taken("full", 3.1)], "no backup came for 3.0 days"),
    ],
)
def test_what_speaks_against_removing_backups(there: list[dict[str, object]], why: str) -> None:
    found = keep.objection(there, KEEPING, NOW)
    assert found == "" if not why else why in found


@pytest.mark.parametrize(
    ("window", "moment", "within"),
    [
        ("01:00-05:00", time(1), True),
        ("01:00-05:00", time(5), False),
        ("01:00-05:00", time(0, 59), False),
        ("22:00-06:00", time(23), True),
        ("22:00-06:00", time(5, 59), True),
        ("22:00-06:00", time(12), False),
    ],
)
def test_the_window_may_end_on_the_next_day(window: str, moment: time, within: bool) -> None:
    assert keep.in_window(window, moment) is within


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="files of other accounts: needs root")
SERVER, KEEPER = 60001, 60002


def owned(path: Path, uid: int = SERVER, content: str = "x") -> Path:
    path.write_text(content)
    path.chmod(0o640)
    os.chown(path, uid, KEEPER)
    return path


@needs_root
def test_what_arrived_is_sealed_and_what_is_not_whole_or_not_its_own_is_left(tmp_path: Path) -> None:
    folder = tmp_path / "archive/s/15-1/0000000100000000"
    folder.mkdir(parents=True)
    for path in (folder, *list(folder.parents)[:3]):
        os.chown(path, SERVER, KEEPER)
    whole = owned(folder / "000000010000000000000001-abc.zst")
    half = owned(folder / "000000010000000000000002-abc.zst.pgbackrest.tmp")
    foreign = owned(folder / "foreign", 60003)
    outside = owned(tmp_path / "outside")
    (folder / "link").symlink_to(outside)
    os.link(outside, folder / "second-name")
    sealer = seal.Sealer(str(tmp_path / "archive"), SERVER, KEEPER, KEEPER)
    seen: dict[str, int] = {}
    assert seal.seal(sealer, seen) == 5  # four folders and one file
    assert (whole.stat().st_uid, whole.stat().st_mode & 0o7777) == (KEEPER, 0o440)
    assert (folder.stat().st_uid, folder.stat().st_mode & 0o7777) == (KEEPER, 0o1770)
    assert half.stat().st_uid == outside.stat().st_uid == SERVER
    assert foreign.stat().st_uid == 60003
    assert seal.seal(sealer, seen) == 0
    half.rename(folder / "000000010000000000000002-abc.zst")
    assert seal.seal(sealer, seen) == 1


@needs_root
def test_what_a_database_sends_again_by_the_same_name_stays_open(tmp_path: Path) -> None:
    """pgBackRest 2.45 passes over a segment that is there; every other file it writes anew and renames."""
    archive = tmp_path / "archive"
    archive.mkdir()
    segment = owned(archive / f"{1:024X}-{'0' * 40}.zst")
    note = owned(archive / f"{2:024X}.00000028.backup")
    sealed_note = owned(archive / f"{3:024X}.00000028.backup", KEEPER)
    timeline = owned(archive / "00000002.history")
    sealer, seen = seal.Sealer(str(archive), SERVER, KEEPER, KEEPER), dict[str, int]()
    seal.seal(sealer, seen)
    assert segment.stat().st_uid == KEEPER
    for open_ in (note, sealed_note, timeline):
        assert open_.stat().st_uid == SERVER
    # The folders above are closed to the account; the one folder is opened before it is taken on.
    script = f"""
import os
folder = os.open({str(archive)!r}, os.O_RDONLY)
os.setgroups([]); os.setgid({KEEPER}); os.setuid({SERVER})
for name in {[note.name, timeline.name]!r}:
    os.close(os.open(name + '.pgbackrest.tmp', os.O_CREAT | os.O_WRONLY, 0o640, dir_fd=folder))
    os.rename(name + '.pgbackrest.tmp', name, src_dir_fd=folder, dst_dir_fd=folder)
"""
    subprocess.run([sys.executable, "-I", "-c", script], check=True)
    # An hour later the history is as good as a segment.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(seal, "TIMELINE_SECONDS", 0.0)
        seal.seal(sealer, seen)
    assert timeline.stat().st_uid == KEEPER
    assert note.stat().st_uid == SERVER


@needs_root
def test_the_account_that_brought_it_cannot_take_it_back(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for above in list(tmp_path.parents)[:2]:
        above.chmod(0o755)
    archive = tmp_path / "archive"
    archive.mkdir()
    file = owned(archive / "segment", content="history")
    seal.seal(seal.Sealer(str(archive), SERVER, KEEPER, KEEPER), {})
    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setgid(KEEPER)
        os.setuid(SERVER)
        refused = 0
        for attack in (
            lambda: file.unlink(),
            lambda: file.rename(archive / "gone"),
            lambda: file.write_text("other"),
            lambda: file.chmod(0o660),
            lambda: archive.rename(tmp_path / "gone"),
        ):
            try:
                attack()
            except OSError:
                refused += 1
        added = (archive / "next").write_text("new") == 3 and file.read_text() == "history"
        os._exit(0 if refused == 5 and added else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert file.read_text() == "history"


def configured(folder: Path) -> Configuration:
    return Configuration(
        "cloud-1-main", "cloud-1", "gov-service", "portal", ("portal",), 3600, DAY, (Place(1, "backup-1"),),
        "x.service", "/x", str(folder / "data"), str(folder), 5432, "/x", str(folder), str(folder), "/bin/false",
    )  # fmt: skip


def written(count: int, segments: dict[int, str]) -> list[stamps.Stamp]:
    start = datetime.fromisoformat("2026-11-25T10:00:00+00:00")
    segment = ""
    found = []
    for number in range(1, count + 1):
        segment = segments.get(number, segment)
        at = (start + timedelta(seconds=30 * number)).strftime(stamps.TIME)
        found.append(stamps.Stamp(number, at, segment))
    return found


def test_the_newest_moment_that_comes_back_is_the_last_stamp_that_was_sent() -> None:
    put = written(
        6, {1: "000000010000000000000001", 3: "000000010000000000000002", 5: "000000010000000000000003"}
    )
    newest = stamps.restorable(put, "000000010000000000000002")
    assert newest is not None
    assert newest.id == 4
    assert stamps.restorable(put, "") is None


def test_a_test_aims_between_two_stamps_that_were_sent_and_knows_the_answer() -> None:
    put = written(40, {1: "000000010000000000000001", 30: "000000010000000000000002"})
    found = stamps.target_between(put, "000000010000000000000001", put[4].moment)
    assert found is not None
    target, last = found
    assert last.id == 28
    assert put[27].moment < target < put[28].moment
    answer = stamps.expected(put, last)
    assert len(answer) == stamps.ASKED
    assert answer[-1] == f"28|{put[27].at}"
    # One stamp alone, or none since the backup, proves nothing.
    assert stamps.target_between(put, "000000010000000000000001", put[27].moment) is None


def test_a_damaged_line_of_the_stamps_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "cloud-1-main.stamps").write_text(
        "1 2026-11-25T10:00:30.000000+00:00 000000010000000000000001\nhalf a li\n"
    )
    assert [one.id for one in stamps.read_stamps(configured(tmp_path))] == [1]


def test_a_moment_without_an_offset_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["pitr", "cloud-1-main", "--to", "2026-11-25T10:00:00"])
    assert "write the offset too" in capsys.readouterr().err


def test_a_cluster_that_is_not_known_is_named_with_those_that_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cloud-1-main.json").write_text("{}")
    assert main(["watch", "cloud-2-main", "--configuration", str(tmp_path)]) == 1
    assert "the clusters here are cloud-1-main" in capsys.readouterr().err


def test_a_proof_is_due_when_it_is_too_old_and_there_is_something_to_prove(tmp_path: Path) -> None:
    here = configured(tmp_path)
    put = written(40, {1: "000000010000000000000001"})
    (tmp_path / "cloud-1-main.stamps").write_text(
        "".join(f"{one.id} {one.at} {one.segment}\n" for one in put)
    )

    def ago(seconds: float) -> str:
        return lasting.text(lasting.now() - timedelta(seconds=seconds))

    def due(**known: object) -> bool:
        return proving._is_due(here, {"oldest_at": put[4].at, "segment": put[0].segment, **known})

    assert due()
    assert due(restore_success_at=ago(DAY + 1))
    assert due(restore_test={"started_at": ago(proving.AGAIN + 1)})
    assert not due(restore_success_at=ago(DAY - 60))
    assert not due(restore_test={"started_at": ago(60)})  # it failed a minute ago
    assert not due(oldest_at="")  # no base backup yet
    assert not due(segment="")  # nothing was sent yet
