"""The backup job among faults: servers, disks and repositories that fail, runs that are stopped, killed, doubled."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest

from deploy.backup.job.restic import reason_of
from inventories.backup_state import Result
from tests.deploy.backup.conftest import (
    POLICY,
    Client,
    edit_verification,
    restic,
    without_copy,
    wrap_restic,
)

MEGABYTE = 1_000_000


def test_when_no_repository_answers_each_is_told_within_seconds(client: Client) -> None:
    before = client.state()
    for server in client.servers:
        server.stop()
    began = time.monotonic()
    code, said = client.run()
    assert code == 1, said
    assert time.monotonic() - began < 8
    state = client.state()
    assert state.backup is not None
    assert (state.backup.result, state.backup.reason) == (Result.FAILURE, "unreachable")
    assert "backup-1 does not answer" in state.backup.error
    assert "offsite-1 does not answer" in state.backup.error
    assert state.last_success_at == before.last_success_at


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        # What restic 0.14 wrote when the disk of rclone's server was full: it tries for 45 s, too long for a test.
        (
            "Save(<data/7a88614f26>) returned error, retrying after 15.394871241s: server response unexpected: "
            "403 Forbidden (403)\nFatal: unable to save snapshot: server response unexpected: 403 Forbidden (403)\n",
            "not_stored",
        ),
        (
            "Fatal: unable to open config file: unexpected HTTP response (401): 401 Unauthorized\n",
            "unauthorized",
        ),
        (
            "unable to create lock in backend: repository is already locked exclusively by PID 7 on x",
            "locked",
        ),
        (
            "Fatal: unable to open config file: <config/> does not exist\n"
            "Is there a repository at the following location?\nrest:https://backup-1:8000/cloud-1/gov-service/\n",
            "repository_missing",
        ),
        (
            'Fatal: unable to open config file: client.Head: Head "https://backup-1:8000/cloud-1/gov-service/config": '
            "read tcp 127.0.0.1:44754->127.0.0.1:18998: read: connection reset by peer\n"
            "Is there a repository at the following location?\nrest:https://backup-1:8000/cloud-1/gov-service/\n",
            "unreachable",
        ),
        (
            'Fatal: unable to open config file: client.Head: Head "https://backup-1:8000/cloud-1/gov-service/config": '
            "EOF\nIs there a repository at the following location?\nrest:https://backup-1:8000/\n",
            "unreachable",
        ),
        (
            'Fatal: unable to open config file: client.Head: Head "https://backup-1:8000/cloud-1/gov-service/config": '
            "net/http: HTTP/1.x transport connection broken: unexpected EOF\nIs there a repository at the following",
            "unreachable",
        ),
        (
            "Load(<data/1>, 0, 0) returned error, retrying after 1s: EOF\n"
            "Fatal: unable to create lock in backend: repository is already locked by PID 7 on x",
            "locked",
        ),
        ("Fatal: something that nobody has seen yet", "restic"),
    ],
)
def test_why_restic_failed(said: str, reason: str) -> None:
    assert reason_of(said) == reason


def test_a_copy_that_was_missed_is_made_up_for(client: Client) -> None:
    before = client.state()
    client.servers[1].stop()
    code, said = client.run()
    assert code == 1, said
    state = client.state()
    assert state.backup is not None
    assert state.backup.result is Result.SUCCESS
    copied = state.repositories["offsite-1"]
    assert copied.copy is not None
    assert (copied.copy.result, copied.copy.reason) == (Result.FAILURE, "unreachable")
    assert copied.snapshot_at == before.repositories["offsite-1"].snapshot_at
    client.servers[1].start()
    code, said = client.run()
    assert code == 0, said
    assert client.state().repositories["offsite-1"].snapshot_at == client.state().last_success_at
    originals = {one["original"] for one in restic(client, 1, "snapshots")}
    assert originals == {one["id"] for one in restic(client, 0, "snapshots")}


def test_restored_content_that_differs_is_found(client: Client) -> None:
    without_copy(client)
    # The real restic restores; then one byte of one file is another one, as on a disk that goes bad.
    wrap_restic(
        client,
        """"$RESTIC" "$@" || exit
case " $* " in *" restore "*)
    while [ "$1" != --target ]; do shift; done
    file=$(find "$2" -name 3.csv); printf 'XXXX' | dd of="$file" conv=notrunc status=none;; esac""",
    )
    before = client.state()
    code, said = client.run("--verify")
    assert code == 1, said
    state = client.state()
    for repository in state.repositories.values():
        assert repository.restore_test is not None
        assert repository.restore_test.result is Result.FAILURE
        assert repository.restore_test.reason == "content_differs"
        assert [path.rpartition("/")[2] for path in repository.restore_test.mismatched] == ["3.csv"]
    assert (
        state.repositories["backup-1"].restore_success_at
        == before.repositories["backup-1"].restore_success_at
    )
    assert not list((client.root / "cache").glob("restore-*"))


@pytest.mark.parametrize("damage", ["flipped bit", pytest.param("missing pack", marks=pytest.mark.slow)])
def test_a_damaged_repository_is_found_by_its_check(client: Client, damage: str) -> None:
    # restic asks a minute long for a pack that is not there; the check of the structure knows it at once.
    if damage == "flipped bit":
        edit_verification(client, read_all_seconds=86400)
    before = client.state()
    pack = max((client.servers[0].repository / "data").rglob("*"), key=lambda path: path.stat().st_size)
    if damage == "missing pack":
        pack.unlink()
    else:
        pack.chmod(0o600)
        content = bytearray(pack.read_bytes())
        content[100] ^= 1
        pack.write_bytes(content)
    code, said = client.run("--verify")
    assert code == 1, said
    state = client.state()
    assert state.repositories["backup-1"].check is not None
    assert state.repositories["backup-1"].check.result is Result.FAILURE
    assert state.repositories["backup-1"].check.reason == "damaged"
    assert state.repositories["backup-1"].damage is not None
    assert state.repositories["backup-1"].damage.packs == (pack.name,)
    assert pack.name[:16] in state.repositories["backup-1"].check.error
    assert state.repositories["backup-1"].restore_test == before.repositories["backup-1"].restore_test
    assert state.repositories["offsite-1"].check is not None
    assert state.repositories["offsite-1"].check.result is Result.SUCCESS


def test_a_source_that_changes_while_it_is_read_is_no_false_alarm(client: Client) -> None:
    without_copy(client)
    wrap_restic(
        client,
        f"""case " $* " in *" backup "*)
    echo later >>'{client.data}/data/1.csv'; rm '{client.data}/data/2.csv';; esac
exec "$RESTIC" "$@\"""",
    )
    code, said = client.run("--verify")
    assert code == 0, said
    tested = client.state().repositories["backup-1"].restore_test
    assert tested is not None
    assert tested.files == 7


def test_a_file_that_is_rewritten_while_restic_reads_it_is_no_false_alarm_and_no_proof(
    client: Client,
) -> None:
    without_copy(client)
    torn = client.data / "torn.img"
    size = 40_000_000
    torn.write_bytes(b"old-" + os.urandom(size - 4))
    later = os.urandom(size)
    # What is read waits for what is sent: there is time to write in the midst.
    wrap_restic(
        client,
        f"""case " $* " in *" backup "*) echo $$ >'{client.root}/pid'
    RESTIC_PACK_SIZE=4 exec "$RESTIC" --limit-upload 4000 "$@";; esac
exec "$RESTIC" "$@\"""",
    )
    process = client.start("--verify")
    pid = _in_the_midst_of(torn, client.root / "pid")
    os.kill(pid, signal.SIGSTOP)
    with torn.open("r+b") as file:
        file.write(later)
    os.kill(pid, signal.SIGCONT)
    said, _ = process.communicate(timeout=600)
    assert process.returncode == 0, said
    tested = client.state().repositories["backup-1"].restore_test
    assert tested is not None
    assert (tested.result, tested.files) == (Result.SUCCESS, 9)  # all but the torn one
    # A restore finds that it differs, and says how to have it all the same: half the one content, half the other.
    done = _restore(client, torn)
    assert done.returncode == 1
    assert "--accept-differing" in done.stderr
    assert not (client.root / "back").exists()
    told = json.loads(_restore(client, torn, "--accept-differing").stdout)
    assert (told["mismatched"], told["first_mismatched"], told["files"]) == (1, [str(torn)], 0)
    half = (client.root / "back").read_bytes()
    assert half[:4] == b"old-"
    assert half[-MEGABYTE:] == later[-MEGABYTE:]
    # And the next run has it whole.
    (client.root / "bin/restic").unlink()
    code, said = client.run()
    assert code == 0, said
    told = json.loads(_restore(client, torn).stdout)
    assert (told["changed"], told["mismatched"], told["files"]) == (0, 0, 1)
    assert (client.root / "back").read_bytes() == later


def _in_the_midst_of(path: Path, pid_file: Path) -> int:
    """Wait until a process, whose id a file will hold, has read a part of another file; its id."""
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        time.sleep(0.002)
        if not pid_file.exists() or not pid_file.read_text().strip():
            continue
        pid = int(pid_file.read_text())
        with suppress(FileNotFoundError):
            for link in Path(f"/proc/{pid}/fd").iterdir():
                if link.readlink() == path:
                    told = Path(f"/proc/{pid}/fdinfo/{link.name}").read_text()
                    if int(told.split()[1]) > 0:
                        return pid
    raise AssertionError(f"{path} was not read")


def _restore(client: Client, path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Restore a file to `back`, in place of what the last restore left there."""
    target = client.root / "back"
    target.unlink(missing_ok=True)
    return subprocess.run(
        client.command("restore", "--from", "backup-1", "--to", str(target), *options, POLICY, str(path)),
        env=client.environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_job_that_is_told_to_stop_says_so(client: Client) -> None:
    wrap_restic(client, 'sleep 30; exec "$RESTIC" "$@"')
    process = client.start()
    _wait_until_running(client)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=10)
    assert process.returncode == 1, said
    state = client.state()
    assert state.backup is not None
    assert (state.backup.result, state.backup.reason) == (Result.FAILURE, "interrupted")


def test_a_killed_job_leaves_a_whole_state_and_the_next_run_heals(client: Client) -> None:
    without_copy(client)
    before = client.state()
    wrap_restic(client, 'sleep 3; exec "$RESTIC" "$@"')
    process = client.start()
    _wait_until_running(client)
    process.kill()
    process.wait()
    state = client.state()
    assert state.backup is not None
    assert state.backup.result is Result.RUNNING
    assert state.last_success_at == before.last_success_at
    (client.root / "bin/restic").unlink()
    code, said = client.run()
    assert code == 0, said


def test_two_runs_at_once(client: Client) -> None:
    go = client.root / "go"
    wrap_restic(client, f'while [ ! -e {go} ]; do sleep 0.05; done; exec "$RESTIC" "$@"')
    first = client.start()
    _wait_until_running(client)
    code, said = client.run("--scheduled")
    assert code == 1
    assert "another run of gov-service is under way" in said
    assert first.poll() is None
    go.touch()
    # A person's run waits for it to end.
    code, said = client.run("--wait")
    assert code == 0, said
    assert first.wait() == 0
    assert len(restic(client, 0, "snapshots")) == 3


def test_a_run_after_one_that_lost_its_host_removes_the_locks_of_that(client: Client) -> None:
    """Nothing of the old run is left to do so: its lock would keep the repository's node from its maintenance."""
    wrap_restic(client, 'exec "$RESTIC" --limit-upload 1 "$@"')
    (client.data / "large").write_bytes(os.urandom(1_000_000))
    locks = client.servers[0].repository / "locks"
    process = subprocess.Popen(
        client.command("run", POLICY), env=client.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 180
    while not list(locks.iterdir()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    with suppress(ProcessLookupError):
        while (
            time.monotonic() < deadline
        ):  # init may take its time to bury restic, which counts as alive till then
            os.killpg(process.pid, 0)
            time.sleep(0.05)
    assert list(locks.iterdir())
    wrap_restic(client, 'exec "$RESTIC" "$@"')
    code, said = client.run()
    assert code == 0, said
    for server in client.servers:
        assert not list((server.repository / "locks").iterdir()), said


def test_a_stale_lock_of_a_dead_run_is_removed(client: Client) -> None:
    without_copy(client)
    locks = client.servers[0].repository / "locks"
    base = client.root / "etc/keys" / f"{POLICY}@backup-1"
    process = subprocess.Popen(
        # Its lock keeps all others out, and at a KiB a second it is not done before it is killed.
        ["restic", "check", "--read-data", "--limit-download", "1", "--no-cache",
         "--cacert", str(client.root / "etc/authority.pem"),
         "--repository-file", f"{base}.repository", "--password-file", f"{base}.password"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 180
    while not any(locks.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert any(locks.iterdir())
    code, said = client.run()
    assert code == 0, said
    assert not any(locks.iterdir())


def test_a_reader_never_sees_half_a_state(client: Client) -> None:
    # So long stands each state that is written before restic is asked for something.
    wrap_restic(client, 'sleep 0.3; exec "$RESTIC" "$@"')
    seen: list[str] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            state = client.state()  # raises when the file is missing or no JSON
            seen.append(state.written_at)

    reader = threading.Thread(target=read)
    reader.start()
    code, said = client.run()
    stop.set()
    reader.join()
    assert code == 0, said
    assert len(set(seen)) >= 5


def test_a_state_that_cannot_be_read_is_set_aside(client: Client) -> None:
    without_copy(client)
    client.state_path.write_text('{"version": 1, "policy": "gov-ser')
    code, said = client.run()
    assert code == 0, said
    assert client.state().last_success_at
    assert client.state_path.with_name(f"{POLICY}.json.unreadable").exists()


def _wait_until_running(client: Client) -> None:
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        backup = client.state().backup
        if backup and backup.result is Result.RUNNING:
            time.sleep(0.3)
            return
        time.sleep(0.02)
    raise AssertionError("the job did not begin")
