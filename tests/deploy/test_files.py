"""Sets of files: the script that the operation sends is run for real, on files of this test's own."""

from __future__ import annotations

import getpass
import grp
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.hoststate.files import File, FileStates, apply_script

OWNER = getpass.getuser()
GROUP = grp.getgrgid(os.getgid()).gr_name


def file(path: Path, content: str | bytes | None, mode: str = "644") -> File:
    return File(str(path), content, mode=mode, owner=OWNER, group=GROUP)


def apply(
    wanted: list[File],
    validate: tuple[str, ...] = (),
    activate: tuple[str, ...] = (),
    confirm: tuple[str, ...] = (),
) -> subprocess.CompletedProcess[str]:
    script = apply_script(wanted, {item.path for item in wanted}, validate, activate, confirm)
    return subprocess.run(["/bin/sh", "-s"], input=script, capture_output=True, text=True, check=False)


def states(*paths: Path, patterns: tuple[str, ...] = ()) -> dict[str, str]:
    fact = FileStates()
    command = fact.command(tuple(map(str, paths)), patterns)
    output = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True).stdout
    return fact.process(output.splitlines())


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if ".jizuo" in path.name)


def test_what_is_written_is_what_the_fact_then_sees(tmp_path: Path) -> None:
    hard = "quotes ' \" $HOME `id` \\ %s\nEND\n宜春\n"
    wanted = [
        file(tmp_path / "a name with spaces", hard, "600"),
        file(tmp_path / "new/folder/binary", bytes(range(256)) * 40),
        file(tmp_path / "empty", ""),
    ]
    assert apply(wanted).returncode == 0
    assert (tmp_path / "a name with spaces").read_text() == hard
    assert (tmp_path / "new/folder/binary").read_bytes() == bytes(range(256)) * 40
    for folder in (tmp_path / "new", tmp_path / "new/folder"):
        assert folder.stat().st_mode & 0o777 == 0o755, "a new folder that services cannot enter"
    found = states(*(Path(item.path) for item in wanted))
    assert found == {item.path: item.state for item in wanted}


def test_the_fact_tells_content_mode_and_absence_apart(tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.write_text("x")
    here.chmod(0o600)
    link = tmp_path / "link"
    link.symlink_to(here)
    found = states(here, tmp_path / "gone", link)
    assert found[str(here)] == file(here, "x", "600").state
    assert found[str(here)] != file(here, "y", "600").state
    assert found[str(here)] != file(here, "x", "644").state
    assert found[str(tmp_path / "gone")] == "absent"
    assert found[str(link)] == "other - - -"


def test_patterns_report_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "30-a").write_text("")
    (tmp_path / "40-b").write_text("")
    assert set(states(patterns=(f"{tmp_path}/30-*",))) == {str(tmp_path / "30-a")}


def test_refused_by_validation_nothing_changes(tmp_path: Path) -> None:
    path = tmp_path / "conf"
    path.write_text("old")
    done = apply([file(path, "new")], validate=(f"grep -q good {{{path}}}",))
    assert done.returncode != 0
    assert "validation failed, nothing was changed" in done.stderr
    assert path.read_text() == "old"
    assert leftovers(tmp_path) == []


def test_validation_sees_the_new_content_and_the_whole_set(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    done = apply(
        [file(one, "good"), file(two, "also")],
        validate=(f"grep -q good {{{one}}}", "test $(find {root} -type f | wc -l) = 2"),
    )
    assert done.returncode == 0, done.stderr
    assert one.read_text() == "good"


@pytest.mark.parametrize("fails", ["activate", "confirm"])
def test_failed_activation_puts_everything_back(tmp_path: Path, fails: str) -> None:
    kept, fresh, gone = tmp_path / "kept", tmp_path / "fresh", tmp_path / "gone"
    kept.write_text("old")
    kept.chmod(0o640)
    gone.write_text("was here")
    seen = tmp_path / "seen"
    activate = [f"cat {kept} >>{seen}"]
    steps = {"activate": (), "confirm": ()}
    steps[fails] = ("false",)
    done = apply(
        [file(kept, "new"), file(fresh, "x"), file(gone, None)],
        activate=(*activate, *steps["activate"]),
        confirm=steps["confirm"],
    )
    assert done.returncode != 0
    assert "as they were before" in done.stderr
    assert kept.read_text() == "old"
    assert kept.stat().st_mode & 0o777 == 0o640
    assert gone.read_text() == "was here"
    assert not fresh.exists()
    assert seen.read_text() == "newold", "the old files were not activated again"
    assert leftovers(tmp_path) == []


def test_what_a_killed_run_left_is_seen_and_made_up_for(tmp_path: Path) -> None:
    """Killed after the rename and before the activation: the files look right, but nothing has taken effect."""
    kept, fresh = tmp_path / "kept", tmp_path / "fresh"
    kept.write_text("old")
    wanted = [file(kept, "new"), file(fresh, "x")]
    apply(wanted, activate=("kill -9 $PPID",))
    assert kept.read_text() == "new"
    assert states(kept, fresh) == {str(kept): "unfinished - - -", str(fresh): "unfinished - - -"}
    assert apply(wanted, activate=("false",)).returncode != 0
    assert kept.read_text() == "old", "the way back did not lead to the state before the killed run"
    assert not fresh.exists()
    assert apply(wanted).returncode == 0
    assert states(kept, fresh) == {item.path: item.state for item in wanted}
    assert leftovers(tmp_path) == []


def test_two_runs_wait_for_each_other(tmp_path: Path) -> None:
    path = tmp_path / "conf"
    trace = tmp_path / "trace"
    slow = f"echo begin >>{trace}; sleep 0.5; echo end >>{trace}"
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(apply, [file(path, str(number))], (), (slow,)) for number in range(2)]
        assert [run.result().returncode for run in runs] == [0, 0]
    assert trace.read_text().split() == ["begin", "end", "begin", "end"]


def test_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    """A real file system of 64 kB in a mount namespace of its own."""
    if os.geteuid() != 0:
        pytest.fail("a small file system can be mounted by root only")
    script = apply_script(
        [file(Path("/mnt/jizuo-test/small"), "fits"), file(Path("/mnt/jizuo-test/large"), "x" * 200_000)],
        {"/mnt/jizuo-test/small", "/mnt/jizuo-test/large"},
        (),
        (),
        (),
    )
    around = (
        "mkdir -p /mnt/jizuo-test; mount -t tmpfs -o size=64k tmpfs /mnt/jizuo-test; "
        'echo before >/mnt/jizuo-test/small; /bin/sh -s; echo "code $?"; '
        "cat /mnt/jizuo-test/small; ls /mnt/jizuo-test"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", around], input=script, capture_output=True, text=True
    )
    assert done.stdout.split("\n") == ["code 1", "before", "small", ""], done.stdout + done.stderr
    assert "cannot write /mnt/jizuo-test/large" in done.stderr
    Path("/mnt/jizuo-test").rmdir()


def test_no_content_in_the_remote_command(tmp_path: Path) -> None:
    """The command that shows in a process list is the shell alone; the content goes over standard input."""
    marker = tmp_path / "marker"
    done = apply([file(tmp_path / "secret", "hunter2 " * 5)], activate=(f"ps -eo args >{marker}",))
    assert done.returncode == 0
    assert "hunter2" not in marker.read_text()
