"""The primary repository fails: backups go on to the copy, nothing is lost, and it comes back whole."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import Any

import pytest

from inventories.backup_state import Result
from tests.deploy.backup.conftest import (
    CLIENT,
    POLICY,
    Client,
    edit_configuration,
    maintain,
    restic,
    wrap_restic,
)


def originals(client: Client, server: int) -> set[object]:
    """The snapshots that a repository holds, each by the id that it was first taken as."""
    return {one.get("original") or one["id"] for one in restic(client, server, "snapshots")}


def rebuild(client: Client, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        client.command("rebuild", *arguments, POLICY), env=client.environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip


def test_backups_go_on_to_the_copy_and_come_back_to_the_primary(client: Client) -> None:
    before = client.state()
    client.servers[0].stop()
    (client.data / "while-down.csv").write_text("x" * 1000)
    code, said = client.run()
    assert code == 1, said  # the primary repository's failure is no success of the whole run
    state = client.state()
    assert state.backup is not None
    assert (state.backup.result, state.backup.repository) == (Result.SUCCESS, "offsite-1")
    primary, copied = state.repositories["backup-1"], state.repositories["offsite-1"]
    assert primary.backup is not None
    assert (primary.backup.result, primary.backup.reason) == (Result.FAILURE, "unreachable")
    assert (primary.snapshot_at, copied.snapshot_at) == (before.last_success_at, state.last_success_at)
    assert primary.lag_seconds is not None
    assert primary.lag_seconds > 0
    assert copied.lag_seconds == 0
    assert copied.ahead

    client.servers[0].start()
    code, said = client.run()
    assert code == 0, said
    state = client.state()
    assert state.backup is not None
    assert state.backup.repository == "backup-1"
    assert not state.repositories["offsite-1"].ahead
    assert {one.lag_seconds for one in state.repositories.values()} == {0}
    assert len(originals(client, 0)) == 3
    assert originals(client, 0) == originals(client, 1)
    # What is copied both ways is cut alike: the file that both hold is in each repository once.
    assert stored(client, 0) == stored(client, 1)


def stored(client: Client, server: int) -> object:
    """The bytes of content in all snapshots, each part counted once."""
    base = client.root / "etc/keys" / f"{POLICY}@{client.servers[server].node}"
    done = subprocess.run(
        ["restic", "--json", "--no-lock", "--no-cache", "--cacert", str(client.root / "etc/authority.pem"),
         "--repository-file", f"{base}.repository", "--password-file", f"{base}.password",
         "stats", "--mode", "raw-data"],
        check=True, capture_output=True,
    )  # fmt: skip
    return json.loads(done.stdout)["total_blob_count"]


@pytest.mark.slow
def test_the_first_backup_of_all_may_go_to_the_copy(client: Client) -> None:
    for server in client.servers:
        shutil.rmtree(server.repository)
    client.state_path.unlink()
    client.servers[0].stop()
    assert client.run()[0] == 1
    client.servers[0].start()
    code, said = client.run()
    assert code == 0, said
    assert len(originals(client, 0)) == 2
    assert originals(client, 0) == originals(client, 1)
    assert stored(client, 0) == stored(client, 1)


def test_a_repository_that_is_gone_is_not_begun_anew_but_filled_from_the_copy(client: Client) -> None:
    repository = client.servers[0].repository
    there = originals(client, 0)
    shutil.rmtree(repository)
    code, said = client.run()
    assert code == 1, said
    state = client.state()
    failed = state.repositories["backup-1"].backup
    assert failed is not None
    assert failed.reason == "repository_missing"
    assert f"rebuild {POLICY} --node backup-1" in failed.error
    assert not (repository / "config").exists()

    done = rebuild(client, "--node", "backup-1")
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert (told["node"], told["source"], told["snapshots"]) == ("backup-1", "offsite-1", 2)
    assert originals(client, 0) == originals(client, 1) > there
    assert told["snapshot_at"] == client.state().last_success_at
    code, said = client.run("--verify")
    assert code == 0, said
    assert stored(client, 0) == stored(client, 1)


@pytest.mark.parametrize("how", ["rebuilt", "brought back"])
def test_a_repository_that_is_filled_knows_which_of_its_snapshots_are_partial(
    client: Client, how: str
) -> None:
    """Else it would remove a whole one for one that lacks files."""
    [whole] = originals(client, 0)
    if how == "brought back":
        client.servers[0].stop()
    edit_configuration(client, paths=[str(client.root / "srv/systems"), "/srv/not-mounted"])
    for _ in range(2):
        assert client.run()[0] in (1, 3)
    if how == "rebuilt":
        shutil.rmtree(client.servers[0].repository)
        done = rebuild(client, "--node", "backup-1")
        assert done.returncode == 0, done.stderr
    else:
        client.servers[0].start()
        assert client.run()[0] == 3
    assert len(restic(client, 0, "snapshots", "--tag", POLICY)) == {"rebuilt": 3, "brought back": 4}[how]
    state = maintain(client)
    assert whole in originals(client, 0)
    assert state.partial == len(restic(client, 0, "snapshots", "--tag", POLICY)) - 1 > 0


def test_an_old_disk_that_comes_back_after_a_rebuild_is_filled_up(client: Client) -> None:
    """The fall back of the drill backup-node-lost: what was taken meanwhile is in the copy and the rebuilt one."""
    repository = client.servers[0].repository
    aside = repository.with_name("old-disk")
    repository.rename(aside)
    (client.data / "during-the-outage.csv").write_text("x" * 1000)
    assert client.run()[0] == 1
    done = rebuild(client, "--node", "backup-1")
    assert done.returncode == 0, done.stderr
    assert len(originals(client, 0)) == 2
    shutil.rmtree(repository)
    aside.rename(repository)
    assert len(originals(client, 0)) == 1
    (client.data / "after.csv").write_text("y" * 1000)
    code, said = client.run("--verify")
    assert code == 0, said
    assert len(originals(client, 0)) == 3
    assert originals(client, 0) == originals(client, 1)
    # From then on each run looks at its own snapshot alone, as before.
    wrap_restic(client, f'echo "$@" >>"{client.root}/seen"; exec "$RESTIC" "$@"')
    code, said = client.run()
    assert code == 0, said
    assert (client.root / "seen").read_text().count(" copy ") == 1


def test_an_old_disk_of_the_copy_that_comes_back_is_filled_up(client: Client) -> None:
    repository = client.servers[1].repository
    aside = repository.with_name("old-disk")
    shutil.copytree(repository, aside)
    (client.data / "meanwhile.csv").write_text("x" * 1000)
    assert client.run()[0] == 0
    shutil.rmtree(repository)
    aside.rename(repository)
    code, said = client.run()
    assert code == 0, said
    assert len(originals(client, 1)) == 3
    assert originals(client, 0) == originals(client, 1)


def test_what_cannot_be_rebuilt_is_told(client: Client) -> None:
    client.servers[1].stop()
    done = rebuild(client, "--node", "backup-1", "--from", "offsite-1")
    assert done.returncode == 1
    assert "backup-1 was not filled; offsite-1: offsite-1 does not answer" in done.stderr
    done = rebuild(client, "--node", "backup-9")
    assert done.returncode == 1
    assert f"{POLICY} has no repository on backup-9, but on backup-1, offsite-1" in done.stderr


def test_a_wrong_login_at_every_repository_is_no_success(client: Client) -> None:
    before = client.state()
    for server in client.servers:
        path = client.root / "etc/keys" / f"{POLICY}@{server.node}.repository"
        path.write_text(f"rest:https://{CLIENT}:guess@localhost:{server.port}/{CLIENT}/{POLICY}/\n")
    edit_configuration(client)
    code, said = client.run()
    assert code == 1, said
    state = client.state()
    assert state.backup is not None
    assert (state.backup.result, state.backup.reason) == (Result.FAILURE, "unauthorized")
    assert state.last_success_at == before.last_success_at
