"""The backup job against real repositories: what it proves, and what it never calls a success."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from deploy.backup.client import PROGRAM
from inventories.backup_state import Result, read_state
from tests.deploy.backup.conftest import CLIENT, POLICY, Client, FirstRun

#: A regular file that nobody may read, root neither: the kernel's switch that flushes the routing cache.
UNREADABLE = "/proc/sys/net/ipv4/route/flush"


def restic(client: Client, server: int, *arguments: str) -> list[dict[str, object]]:
    """What the repository itself says, read with the client's keys."""
    base = client.root / "etc/keys" / f"{POLICY}@{client.servers[server].node}"
    done = subprocess.run(
        ["restic", "--json", "--no-lock", "--no-cache", "--cacert", str(client.root / "etc/authority.pem"),
         "--repository-file", f"{base}.repository", "--password-file", f"{base}.password", *arguments],
        check=True, capture_output=True,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found


def wrap_restic(client: Client, script: str) -> None:
    """Put a program before restic in the job's PATH; the script calls the real one as "$RESTIC"."""
    real = subprocess.run(["which", "restic"], check=True, capture_output=True, text=True).stdout.strip()
    wrapper = client.root / "bin/restic"
    wrapper.parent.mkdir(exist_ok=True)
    wrapper.write_text(f"#!/bin/bash\nRESTIC={real}\n{script}\n")
    wrapper.chmod(0o755)


def edit_configuration(client: Client, **fields: object) -> None:
    path = client.root / "etc" / f"{POLICY}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **fields}))


def without_copy(client: Client) -> None:
    """Leave the copy out where it is not what a test asks about: each run of restic takes half a second."""
    path = client.root / "etc" / f"{POLICY}.json"
    edit_configuration(client, repositories=json.loads(path.read_text())["repositories"][:1])


def test_a_first_run_backs_up_copies_and_proves_both(first_run: FirstRun) -> None:
    assert first_run.code == 0, first_run.said
    state = read_state(first_run.folder / "client/state" / f"{POLICY}.json")
    assert state.backup is not None
    assert state.backup.result is Result.SUCCESS
    assert state.backup.files == 10  # nine files and the manifest
    assert state.backup.snapshot_at.endswith("+08:00")
    taken = datetime.fromisoformat(state.last_success_at)
    assert abs(datetime.now().astimezone() - taken) < timedelta(minutes=10)
    assert list(state.repositories) == ["backup-1", "offsite-1"]
    for repository in state.repositories.values():
        assert repository.snapshot_at == state.last_success_at
        assert repository.restored_snapshot_at == state.last_success_at
        assert repository.check is not None
        assert repository.check.result is Result.SUCCESS
        assert repository.restore_test is not None
        assert repository.restore_test.files == 9
    copied = state.repositories["offsite-1"].copy
    assert copied is not None
    assert copied.result is Result.SUCCESS


def test_a_second_run_adds_a_snapshot_and_verifies_only_what_is_due(client: Client) -> None:
    before = client.state()
    (client.data / "data/new.csv").write_text("x\n")
    code, said = client.run()
    assert code == 0, said
    after = client.state()
    assert after.last_success_at > before.last_success_at
    assert after.repositories["offsite-1"].snapshot_at == after.last_success_at
    assert after.repositories["backup-1"].check_success_at == before.repositories["backup-1"].check_success_at
    assert "restore_test" not in said
    for server in (0, 1):
        assert len(restic(client, server, "snapshots")) == 2


def test_a_file_that_cannot_be_read_makes_the_run_partial(client: Client) -> None:
    before = client.state()
    edit_configuration(client, paths=[str(client.root / "srv/systems"), UNREADABLE])
    code, said = client.run()
    assert code == 3, said
    state = client.state()
    assert state.backup is not None
    assert (state.backup.result, state.backup.reason) == (Result.PARTIAL, "unread_files")
    assert state.backup.unread == (UNREADABLE,)
    assert state.last_success_at == before.last_success_at
    assert state.repositories["backup-1"].snapshot_at == before.repositories["backup-1"].snapshot_at
    assert state.repositories["offsite-1"].snapshot_at == before.repositories["offsite-1"].snapshot_at


def test_a_path_that_is_not_there_makes_the_run_partial(client: Client) -> None:
    without_copy(client)
    edit_configuration(client, paths=[str(client.root / "srv/systems"), "/srv/not-mounted"])
    code, said = client.run()
    assert code == 3, said
    state = client.state()
    assert state.backup is not None
    assert state.backup.result is Result.PARTIAL
    assert state.backup.unread == ("/srv/not-mounted",)


def test_an_empty_source_is_a_failure_and_leaves_no_snapshot(client: Client) -> None:
    before = client.state()
    edit_configuration(client, paths=[str(client.root / "bin")])
    (client.root / "bin").mkdir(exist_ok=True)
    code, said = client.run()
    assert code == 1, said
    state = client.state()
    assert state.backup is not None
    assert (state.backup.result, state.backup.reason) == (Result.FAILURE, "empty_source")
    assert state.last_success_at == before.last_success_at
    assert len(restic(client, 0, "snapshots")) == 1


def test_a_wrong_password_is_named_and_the_last_success_stays(client: Client) -> None:
    before = client.state()
    (client.root / "etc/keys" / f"{POLICY}@backup-1.password").write_text("not-the-password\n")
    code, said = client.run()
    assert code == 1, said
    state = client.state()
    assert state.backup is not None
    assert (state.backup.result, state.backup.reason) == (Result.FAILURE, "wrong_password")
    assert state.last_success_at == before.last_success_at


def test_a_wrong_login_is_named(client: Client) -> None:
    path = client.root / "etc/keys" / f"{POLICY}@backup-1.repository"
    path.write_text(f"rest:https://{CLIENT}:guess@localhost:{client.servers[0].port}/{CLIENT}/{POLICY}/\n")
    code, said = client.run()
    assert code == 1, said
    state = client.state()
    assert state.backup is not None
    assert state.backup.reason == "unauthorized"
    assert "guess" not in said + client.state_path.read_text()


def test_a_server_of_another_authority_is_refused(client: Client) -> None:
    other = client.root / "other-authority.pem"
    key = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run(
        [*key, "-keyout", str(client.root / "key.pem"), "-out", str(other), "-subj", "/CN=other"],
        check=True, capture_output=True,
    )  # fmt: skip
    edit_configuration(client, ca_file=str(other))
    code, said = client.run()
    assert code == 1, said
    state = client.state()
    assert state.backup is not None
    assert state.backup.reason == "certificate"


def test_a_repository_that_is_down_is_told_within_seconds(client: Client) -> None:
    before = client.state()
    client.servers[0].stop()
    began = time.monotonic()
    code, said = client.run()
    assert code == 1, said
    assert time.monotonic() - began < 8
    state = client.state()
    assert state.backup is not None
    assert (state.backup.result, state.backup.reason) == (Result.FAILURE, "unreachable")
    assert "backup-1 does not answer" in state.backup.error
    assert state.last_success_at == before.last_success_at


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


def test_a_repository_that_is_gone_is_not_begun_anew(client: Client) -> None:
    repository = client.servers[0].repository
    repository.rename(repository.with_name("lost"))
    code, said = client.run()
    assert code == 1, said
    state = client.state()
    assert state.backup is not None
    assert state.backup.reason == "repository_missing"
    assert not (repository / "config").exists()


def test_restored_content_that_differs_is_found(client: Client) -> None:
    without_copy(client)
    # The real restic restores; then one byte of one file is another one, as on a disk that goes bad.
    wrap_restic(
        client,
        """"$RESTIC" "$@" || exit
case " $* " in *" restore "*)
    while [ "$1" != --target ]; do shift; done
    file=$(find "$2" -name 3.csv); printf 'X' | dd of="$file" conv=notrunc status=none;; esac""",
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


@pytest.mark.parametrize("damage", ["flipped bit", "missing pack"])
def test_a_damaged_repository_is_found_by_its_check(client: Client, damage: str) -> None:
    # restic asks a minute long for a pack that is not there; the check of the structure knows it at once.
    edit_configuration(client, read_data_parts=1 if damage == "flipped bit" else 200)
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


def test_names_that_are_hard_to_write_down(client: Client) -> None:
    folder = os.fsencode(client.data)
    names = [
        b"two\nlines",
        b"\xd2\xcb\xb4\xba-gb18030",
        "宜春 市".encode(),
        b"[a]*?\\b",
        b"x" * 255,
        b"-v",
        b"tail ",
    ]
    for name in names:
        Path(os.fsdecode(folder + b"/" + name)).write_bytes(name)
    (client.data / "empty").touch()
    with (client.data / "sparse").open("wb") as file:
        file.truncate(5_000_000)
    edit_configuration(client, sample_files=100)
    code, said = client.run("--verify")
    assert code == 0, said
    tested = client.state().repositories["offsite-1"].restore_test
    assert tested is not None
    assert tested.files == 9 + len(names) + 2


def test_what_is_excluded_is_not_missed(client: Client) -> None:
    without_copy(client)
    (client.data / "cache.tmp").write_text("not worth keeping")
    edit_configuration(client, exclude=["*.tmp"])
    code, said = client.run("--verify")
    assert code == 0, said
    tested = client.state().repositories["backup-1"].restore_test
    assert tested is not None
    assert tested.files == 9


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
    wrap_restic(client, 'sleep 2; exec "$RESTIC" "$@"')
    first = client.start()
    _wait_until_running(client)
    code, said = client.run()
    assert code == 1
    assert "another run of gov-service is under way" in said
    first.kill()
    first.wait()


def test_a_stale_lock_of_a_dead_run_is_removed(client: Client) -> None:
    without_copy(client)
    locks = client.servers[0].repository / "locks"
    base = client.root / "etc/keys" / f"{POLICY}@backup-1"
    process = subprocess.Popen(
        ["restic", "check", "--read-data", "--cacert", str(client.root / "etc/authority.pem"),
         "--repository-file", f"{base}.repository", "--password-file", f"{base}.password"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 10
    while not any(locks.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert any(locks.iterdir())
    code, said = client.run()
    assert code == 0, said
    assert not any(locks.iterdir())


def test_a_reader_never_sees_half_a_state(client: Client) -> None:
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


def test_no_secret_shows_in_a_process_list(client: Client) -> None:
    wrap_restic(client, f'tr "\\0" " " </proc/$$/cmdline >>"{client.root}/seen"; exec "$RESTIC" "$@"')
    code, said = client.run("--verify")
    assert code == 0, said
    seen = (client.root / "seen").read_text()
    assert seen.count("restic") >= 7
    client.must_hold_no_secret(seen)


def test_the_job_is_written_for_python_3_7() -> None:
    for path in PROGRAM.glob("*.py"):
        ast.parse(path.read_text(), filename=str(path), feature_version=(3, 7))


def _wait_until_running(client: Client) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        backup = client.state().backup
        if backup and backup.result is Result.RUNNING:
            time.sleep(0.3)
            return
        time.sleep(0.02)
    raise AssertionError("the job did not begin")
