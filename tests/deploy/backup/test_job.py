"""The backup job against real repositories: what it proves, and what it never calls a success."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yaml

from checks import backup_state
from checks.backup import figures
from checks.backup.judging import evaluate
from deploy.backup.client import PROGRAM
from exporters.collectors.backup import backup_metrics
from inventories.backup_state import Result, Snapshot, read_state
from inventories.load import load_city
from tests.deploy.backup.conftest import (
    CLIENT,
    POLICY,
    Client,
    FirstRun,
    edit_configuration,
    edit_verification,
    restic,
    restic_as_client,
    without_copy,
    wrap_restic,
)
from tests.exporters.exposition import exposed, value, values

ROOT = Path(__file__).parents[3]
LAB, RULES = ROOT / "inventories/lab", ROOT / "exporters/rules"
#: A regular file that nobody may read, root neither: the kernel's switch that flushes the routing cache.
UNREADABLE = "/proc/sys/net/ipv4/route/flush"


def test_a_first_run_backs_up_copies_and_proves_both(first_run: FirstRun) -> None:
    assert first_run.code == 0, first_run.said
    state = read_state(first_run.folder / "client/state" / f"{POLICY}.json")
    assert state.backup is not None
    assert state.backup.result is Result.SUCCESS
    assert state.backup.files == 10  # nine files and the manifest
    assert state.last_snapshot == Snapshot(
        snapshot_at=state.last_success_at, files=10, total_bytes=state.backup.total_bytes
    )
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


def test_a_state_becomes_metrics_of_how_long_how_much_and_how_far_behind(first_run: FirstRun) -> None:
    path = first_run.folder / "client/state" / f"{POLICY}.json"
    city, job = load_city(LAB), {"policy": POLICY, "node": CLIENT}
    states = {CLIENT: {POLICY: backup_state.read_state(path.read_text(encoding="utf-8"))}}
    found = values(backup_metrics(city, figures.evaluate(city, states, datetime.now().astimezone())))
    state = read_state(path)
    assert state.backup is not None
    assert value(found, "jizuo_backup_duration_seconds", **job) == state.backup.seconds > 0
    # restic's own count: everything that it was given, which is the data and the manifest.
    assert state.backup.total_bytes > 0
    assert value(found, "jizuo_backup_snapshot_size_bytes", **job) == state.backup.total_bytes
    assert value(found, "jizuo_backup_snapshot_files", **job) == state.backup.files == 10
    copied = state.repositories["offsite-1"].copy
    assert copied is not None
    copy = {**job, "repository": "offsite-1"}
    assert value(found, "jizuo_backup_copy_duration_seconds", **copy) == copied.seconds > 0
    for node in ("backup-1", "offsite-1"):
        assert value(found, "jizuo_backup_copy_lag_seconds", **job, repository=node) == 0


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
    assert state.last_snapshot == before.last_snapshot, "what a partial one holds is no whole one's size"
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


def test_of_several_paths_an_empty_one_is_named_and_the_others_are_backed_up(client: Client) -> None:
    without_copy(client)
    before = client.state()
    other = client.root / "srv/other"
    (other / "deep/er").mkdir(parents=True)
    (client.data / "new.csv").write_text("came meanwhile\n")
    edit_configuration(client, paths=[str(client.root / "srv/systems"), str(other)])
    code, said = client.run()
    assert code == 3, said
    state = client.state()
    assert state.backup is not None
    assert (state.backup.result, state.backup.reason) == (Result.PARTIAL, "empty_source")
    assert f"there is no file in {other};" in state.backup.error
    assert state.last_success_at == before.last_success_at
    assert any("new.csv" in line for line in listed(client, state.backup.snapshot))
    (other / "deep/er/file").write_text("mounted again")
    code, said = client.run()
    assert code == 0, said


@pytest.mark.parametrize("index", ["kept", "lost"])
def test_a_system_that_lost_all_its_files_makes_runs_partial_until_it_is_meant(
    client: Client, index: str
) -> None:
    without_copy(client)
    portal, never = client.root / "srv/systems/portal", client.root / "srv/systems/never-had-one"
    (portal / "data").mkdir(parents=True)
    never.mkdir()
    (portal / "data/rows.csv").write_text("1,2\n")
    code, said = client.run()
    assert code == 0, said
    (portal / "data/rows.csv").unlink()
    if index == "lost":
        (client.root / "cache" / f"{POLICY}.index").unlink()
    for number in range(2):  # and it stays one, while the other systems' data still go into snapshots
        (client.data / f"{number}.later").write_text("came meanwhile\n")
        code, said = client.run()
        assert code == 3, said
        failed = client.state().backup
        assert failed is not None
        assert (failed.result, failed.reason) == (Result.PARTIAL, "empty_source")
        assert f"there is no file in {portal};" in failed.error
        assert any(f"{number}.later" in line for line in listed(client, failed.snapshot))
    assert fired_alerts(client.state_path.read_text()) >= {"BackupPartial"}
    if index == "kept":
        edit_configuration(client, may_be_empty=[str(portal)])
    else:
        shutil.rmtree(portal)
    code, said = client.run()
    assert code == 0, said


def listed(client: Client, snapshot: str) -> list[str]:
    """Every path in a snapshot."""
    done = restic_as_client(client, 0, "ls", snapshot)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_an_empty_source_fires_an_alert(client: Client) -> None:
    """From the job's own state over the auditor's judgement and the exporter's metric to the rule."""
    shutil.rmtree(client.data)
    client.data.mkdir()
    code, said = client.run()
    assert code == 1, said
    assert fired_alerts(client.state_path.read_text()) >= {"BackupFailed"}


def fired_alerts(state: str) -> set[str]:
    """The backup alerts that fire five minutes after an auditor has seen this state of the lab's policy."""
    city = load_city(LAB)
    told = backup_state.read_state(state)
    assert isinstance(told, backup_state.JobState)
    records = evaluate(city, {CLIENT: {POLICY: told}}, datetime.now(UTC))
    text = exposed(
        backup_metrics(city, [one for one in records if one.subject == f"{POLICY}@{CLIENT}"])
    ).decode()
    series = [line.rpartition(" ") for line in text.splitlines() if f'policy="{POLICY}"' in line]
    expression = f'group by (alertname) (ALERTS{{alertstate="firing", policy="{POLICY}"}})'
    test = {
        "rule_files": [str(RULES / f"jizuo-{name}.yml") for name in ("recording", "backup")],
        "evaluation_interval": "1m",
        "tests": [{
            "interval": "1m",
            "input_series": [{"series": name, "values": f"{value}x5"} for name, _, value in series],
            "promql_expr_test": [{"expr": expression, "eval_time": "5m", "exp_samples": []}],
        }],
    }  # fmt: skip
    done = subprocess.run(
        ["promtool", "test", "rules", "/dev/stdin"], input=yaml.safe_dump(test), capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    return set(re.findall(r'\{alertname="(\w+)"\}', done.stdout + done.stderr))


def test_a_wrong_password_is_named_and_the_copy_keeps_the_rpo(client: Client) -> None:
    before = client.state()
    (client.root / "etc/keys" / f"{POLICY}@backup-1.password").write_text("not-the-password\n")
    code, said = client.run()
    assert code == 1, said
    state = client.state()
    failed = state.repositories["backup-1"].backup
    assert failed is not None
    assert (failed.result, failed.reason) == (Result.FAILURE, "wrong_password")
    assert state.backup is not None
    assert (state.backup.result, state.backup.repository) == (Result.SUCCESS, "offsite-1")
    assert state.last_success_at > before.last_success_at
    assert state.repositories["backup-1"].snapshot_at == before.last_success_at


def test_a_wrong_login_is_named(client: Client) -> None:
    path = client.root / "etc/keys" / f"{POLICY}@backup-1.repository"
    path.write_text(f"rest:https://{CLIENT}:guess@localhost:{client.servers[0].port}/{CLIENT}/{POLICY}/\n")
    without_copy(client)
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
    without_copy(client)
    code, said = client.run()
    assert code == 1, said
    state = client.state()
    assert state.backup is not None
    assert state.backup.reason == "certificate"


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
    edit_verification(client, sample_files=100)
    code, said = client.run("--verify")
    assert code == 0, said
    tested = client.state().repositories["offsite-1"].restore_test
    assert tested is not None
    assert tested.files == 9 + len(names) + 2


@pytest.mark.slow
def test_a_file_larger_than_32_bits_count_comes_back_whole(client: Client) -> None:
    """Holes but for what stands at both ends and across 4 GiB, so that a count that wraps around shows."""
    without_copy(client)
    border, written = (
        2**32,
        {0: os.urandom(1000), 2**32 - 500: os.urandom(1000), 2**32 + 10**6: os.urandom(1000)},
    )
    with (client.data / "huge").open("wb") as file:
        for place, content in written.items():
            file.seek(place)
            file.write(content)
    edit_verification(client, sample_files=100, sample_bytes=2 * border)
    code, said = client.run("--verify")
    assert code == 0, said
    tested = client.state().repositories["backup-1"].restore_test
    assert tested is not None
    assert (tested.files, tested.total_bytes > border) == (10, True)
    target = client.root / "restored"
    arguments = (POLICY, str(client.data), "--from", "backup-1", "--to", str(target))
    subprocess.run(
        client.command("restore", *arguments), env=client.environment, check=True, capture_output=True
    )
    with (target / "huge").open("rb") as file:
        for place, content in written.items():
            file.seek(place)
            assert file.read(len(content)) == content
    assert (target / "huge").stat().st_size == (client.data / "huge").stat().st_size


def test_what_is_excluded_is_not_missed(client: Client) -> None:
    without_copy(client)
    (client.data / "cache.tmp").write_text("not worth keeping")
    (client.data / "cache").mkdir()
    (client.data / "cache/of").write_text("not worth reading")
    edit_configuration(client, exclude=["*.tmp", str(client.data / "cache")])
    code, said = client.run("--verify")
    assert code == 0, said
    assert b"/cache/of" not in (client.root / "state" / f"{POLICY}.manifest").read_bytes()
    tested = client.state().repositories["backup-1"].restore_test
    assert tested is not None
    assert tested.files == 9


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
