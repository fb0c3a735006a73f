"""The recovery kit: is it all that a restore needs, and does nobody read it who holds no key?"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import stat
import subprocess
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

import jizuo
from deploy.backup.certificates import authority, server_certificate
from deploy.backup.credentials import login_line, repository_password
from deploy.backup.escrow.kit import (
    FOLDER,
    ExistingSecrets,
    Kit,
    KitError,
    KitRepository,
    contents,
    describe,
    differences,
    packed,
    unpacked,
)
from deploy.backup.escrow.sealing import SealError, open_by_passphrase, seal, seal_by_passphrase
from deploy.database import keys
from deploy.secrets import SecretStore
from inventories.hosts import host_data
from inventories.load import load_city
from inventories.plan import build_plan
from tests.deploy.backup.conftest import CLIENT, POLICY, Client, FirstRun, restic
from tests.deploy.fake_hosts import LAB

WORDS = "correct horse battery staple river lamp"

for program in ("age", "age-keygen"):
    if shutil.which(program) is None:
        pytest.fail(f"these tests need {program}; run: apt-get install age", pytrace=False)


def kit_of(client: Client) -> Kit:
    """The kit that the deploy's inventory would give, with this test's servers on loopback."""
    repositories = tuple(
        KitRepository(
            policy=POLICY,
            client=CLIENT,
            node=server.node,
            role="primary" if server.node == "backup-1" else "copy",
            city="宜春市" if server.node == "backup-1" else "萍乡市",
            name="no-name-service.invalid",
            ipv6="::1",
            ipv4="127.0.0.1",
            port=server.port,
            systems=("yichun-gov-service-net",),
            paths=(str(client.root / "srv/systems"),),
        )
        for server in client.servers
    )
    return Kit(
        version=1, city="宜春市", made_at="2026-08-01T09:30:00+08:00", repositories=repositories, systems=()
    )


def bare(folder: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run as on a machine that knows nothing: an environment with a search path and nothing else."""
    return subprocess.run(
        command, cwd=folder, env={"PATH": os.environ["PATH"]}, capture_output=True, text=True, errors="replace",
        check=check, timeout=600,
    )  # fmt: skip


def machine(client: Client, folder: Path) -> Path:
    """A machine that holds the sealed kit and a private key, and opened it as the kit's makers say."""
    folder.mkdir()
    bare(folder, "age-keygen", "-o", "custodian.key")
    public = bare(folder, "age-keygen", "-y", "custodian.key").stdout.strip()
    sealed = seal(packed(contents(kit_of(client), ExistingSecrets(client.store.folder))), [public])
    (folder / "kit.age").write_bytes(sealed)
    bare(folder, "sh", "-c", "age -d -i custodian.key kit.age | tar -x")
    return folder / FOLDER


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_the_kit_alone_restores_on_a_machine_that_knows_nothing(
    first_run: FirstRun, client: Client, tmp_path: Path
) -> None:
    """The data centre is lost: its server, the client, the controller. What is left is the copy, and the kit."""
    source = first_run.folder / "client/srv/systems"  # the client of this test is a copy
    originals = hashes(source)
    kit = machine(client, tmp_path / "elsewhere")
    lost, copy = client.servers
    lost.stop()
    shutil.rmtree(lost.folder)
    copy.stop()
    copy.address = ""
    copy.start()
    shutil.rmtree(client.store.folder)
    client.root.rename(tmp_path / "lost")
    restored = tmp_path / "restored"
    done = bare(kit, "bash", "restore.sh", "restore", POLICY, CLIENT, str(restored))
    assert "backup-1: ::1 port" in done.stderr
    assert "repository of cloud-1 on offsite-1 (copy, 萍乡市), ::1 port" in done.stderr
    assert "9 files have the content of backup time, 0 were changed while backed up, 0 differ" in done.stdout
    assert hashes(restored / str(source).lstrip("/")) == originals
    assert len(originals) == 9


def test_one_system_of_a_chosen_repository_and_nothing_is_written_over(
    first_run: FirstRun, client: Client, tmp_path: Path
) -> None:
    data = first_run.folder / "client" / client.data.relative_to(client.root)
    kit = machine(client, tmp_path / "elsewhere")
    restored = tmp_path / "restored"
    snapshot = str(restic(client, 1, "snapshots")[0]["short_id"])
    arguments = ["bash", "restore.sh", "restore", POLICY, CLIENT, str(restored), "--from", "offsite-1"]
    bare(kit, *arguments, "--path", str(data / "data"), "--snapshot", snapshot)
    back = restored / str(data).lstrip("/")
    assert hashes(back / "data") == hashes(data / "data")
    assert not (back / "index.html").exists()
    again = bare(kit, *arguments, check=False)
    assert again.returncode == 1
    assert "nothing is written over" in again.stderr
    listed = bare(kit, "bash", "restore.sh", "list").stdout
    assert "offsite-1" in listed
    assert "yichun-gov-service-net" in listed


def test_what_the_kit_does_not_hold_is_told(client: Client, tmp_path: Path) -> None:
    kit = machine(client, tmp_path / "elsewhere")
    for server in client.servers:
        server.stop()
    restored = str(tmp_path / "restored")
    none = bare(kit, "bash", "restore.sh", "restore", POLICY, CLIENT, restored, check=False)
    assert none.returncode == 1
    assert "no repository answers" in none.stderr
    other = bare(kit, "bash", "restore.sh", "restore", "nightly", CLIENT, restored, check=False)
    assert other.returncode == 1
    assert "no backups of policy nightly of cloud-1 are in this kit" in other.stderr


@pytest.fixture
def controller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SecretStore:
    """A controller that has deployed the lab's backups: the secrets are there."""
    monkeypatch.setenv("JIZUO_STATE", str(tmp_path / "state"))
    store = SecretStore(tmp_path / "state/secrets")
    city = load_city(LAB)
    hosts = host_data(city, build_plan(city))
    for one in describe(city, hosts, "").repositories:
        login_line(store, one.node, one.client)
        repository_password(store, one.node, one.client, one.policy)
    for node in ("backup-1", "offsite-1"):
        server_certificate(store, node, [node], hosts[node].service.values())
        keys.passphrase(store, node, "cloud-1-main")
        keys.receiver(store, hosts[node])
        keys.keeper(store, hosts[node])
    keys.sender(store, hosts["cloud-1"])
    return store


def escrow(*arguments: str, input: str | None = None) -> tuple[int, str]:
    done = CliRunner().invoke(jizuo.main, ["backup", "escrow", *arguments], input=input)
    return done.exit_code, done.output


def make(folder: Path) -> tuple[Path, Path]:
    """A kit of the lab and the key that opens it."""
    key, kit = folder / "custodian.key", folder / "kit.age"
    bare(folder, "age-keygen", "-o", str(key))
    public = bare(folder, "age-keygen", "-y", str(key)).stdout.strip()
    code, said = escrow("make", str(LAB), "--recipient", public, "--out", str(kit))
    assert code == 0, said
    assert "repositories on backup-1, offsite-1" in said
    return kit, key


def test_the_lab_s_kit_holds_every_repository_in_both_families(
    controller: SecretStore, tmp_path: Path
) -> None:
    kit, key = make(tmp_path)
    assert stat.S_IMODE(kit.stat().st_mode) == 0o600
    bare(tmp_path, "sh", "-c", f"age -d -i {key} {kit} | tar -x")
    opened = tmp_path / FOLDER
    assert stat.S_IMODE((opened / "restore.sh").stat().st_mode) == 0o700
    city = load_city(LAB)
    for client in ("cloud-1", "xinchuang-1"):
        for job in host_data(city, build_plan(city))[client].backups:
            for node in ("backup-1", "offsite-1"):
                base = opened / f"keys/{job.policy}@{client}@{node}"
                password = (controller.folder / f"backup-login-{node}-{client}").read_text()
                for way in ("ipv6", "ipv4", "name"):
                    url = base.with_name(f"{base.name}.{way}").read_text()
                    assert url.startswith(f"rest:https://{client}:{password}@")
                    assert url.endswith(f":8443/{client}/{job.policy}/\n")
                assert (
                    "@[2001:db8:" in (base.with_name(f"{base.name}.ipv6")).read_text()
                    or "@[3fff:" in (base.with_name(f"{base.name}.ipv6")).read_text()
                )
    assert (opened / "authority.pem").read_text() == authority(controller).certificate
    assert {path.name for path in (opened / "secrets").iterdir()} == {
        path.name for path in controller.folder.iterdir()
    }
    for name in ("README.md", "README.zh-CN.md"):
        text = (opened / name).read_text()
        assert "yichun-gov-service-net" in text
        assert "萍乡市" in text


def test_the_kit_holds_what_restores_a_cluster_whose_log_is_kept(
    controller: SecretStore, tmp_path: Path
) -> None:
    kit, key = make(tmp_path)
    bare(tmp_path, "sh", "-c", f"age -d -i {key} {kit} | tar -x")
    opened = tmp_path / FOLDER
    settings = (opened / "databases/cloud-1-main.conf").read_text()
    for number, node in ((1, "backup-1"), (2, "offsite-1")):
        secret = (controller.folder / f"database-repository-{node}-cloud-1-main").read_text()
        assert f"repo{number}-host={node}.yichun.example\n" in settings
        assert f"repo{number}-cipher-pass={secret}\n" in settings
    city = load_city(LAB)
    pair = keys.sender(controller, host_data(city, build_plan(city))["cloud-1"])
    assert (opened / "databases/cloud-1-main.pem").read_text() == pair.certificate
    assert (opened / "databases/cloud-1-main.key").read_text() == pair.key
    assert stat.S_IMODE((opened / "databases/cloud-1-main.key").stat().st_mode) == 0o600
    listed = bare(opened, "bash", "restore.sh", "databases").stdout.splitlines()
    assert [line.split()[:3] for line in listed[1:]] == [
        ["cloud-1-main", "gov-service", "backup-1"],
        ["cloud-1-main", "gov-service", "offsite-1"],
    ]
    for name in ("README.md", "README.zh-CN.md"):
        text = (opened / name).read_text()
        assert "bash restore.sh database " in text
        assert "offsite-1.yichun.example" in text


def test_a_secret_of_a_database_that_is_another_now_makes_the_kit_out_of_date(
    controller: SecretStore, tmp_path: Path
) -> None:
    kit, key = make(tmp_path)
    name = "database-repository-offsite-1-cloud-1-main"
    (controller.folder / name).write_text("another")
    code, said = escrow("verify", str(LAB), str(kit), "--identity", str(key))
    assert code == 2
    assert f"outdated    secrets/{name}" in said
    assert "outdated    databases/cloud-1-main.conf" in said
    (controller.folder / name).unlink()
    code, said = escrow("verify", str(LAB), str(kit), "--identity", str(key))
    assert code == 1
    assert f"{name} is not there" in said


#: pgBackRest and PostgreSQL's tools, noting what they are asked: test_escrow_database.py has the real ones.
STAND_INS = {
    "pgbackrest": 'printf "%s\\n" "$@" >"$NOTES/asked"; cp "${1#--config=}" "$NOTES/settings"',
    "pg_controldata": 'echo "max_connections setting:              100"; echo "max_prepared_xacts setting:   5"',
    "getent": "exit ${UNKNOWN:-0}",
    "id": "echo 1000",
}


def database(kit: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    programs = kit.parent / "programs"
    programs.mkdir(exist_ok=True)
    for name, script in {**STAND_INS, "pg_ctl": "exit 0"}.items():
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o700)
    script = (kit / "restore.sh").read_text().replace("/usr/lib/postgresql/$version/bin", str(programs))
    assert str(programs) in script
    (kit / "restore.sh").write_text(script)
    return subprocess.run(
        ["bash", "restore.sh", "database", *arguments], cwd=kit, capture_output=True, text=True, check=False,
        timeout=300, env={"PATH": f"{programs}:{os.environ['PATH']}", "NOTES": str(kit.parent), **more},
    )  # fmt: skip


def test_the_kit_s_script_asks_pgbackrest_for_the_cluster_as_it_was(
    controller: SecretStore, tmp_path: Path
) -> None:
    """The first repository that answers, IPv6 before IPv4; a name that nobody knows is told with its address."""
    city = load_city(LAB)
    kit = describe(city, host_data(city, build_plan(city)), "")
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as answering:
        port = answering.getsockname()[1]
        here = [
            msgspec.structs.replace(one, ipv6="::1" if one.number == 2 else "", ipv4="", port=port)
            for one in kit.databases
        ]
        kit = msgspec.structs.replace(kit, databases=tuple(here))
        opened = tmp_path / "kit"
        for name, content in contents(kit, ExistingSecrets(controller.folder)).items():
            (opened / name).parent.mkdir(parents=True, exist_ok=True)
            (opened / name).write_bytes(content)
        target = tmp_path / "restored"
        unknown = database(opened, "cloud-1-main", str(target), UNKNOWN="2")
        assert "echo '::1 offsite-1.yichun.example' >>/etc/hosts" in unknown.stderr
        done = database(opened, "cloud-1-main", str(target), "--time", "2026-08-01 09:30:00+08")
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "asked").read_text().splitlines() == [
            f"--config={opened}/databases/cloud-1-main.run.conf",
            "--stanza=cloud-1-main",
            "--repo=2",
            "--type=time",
            "--target=2026-08-01 09:30:00+08",
            "--target-action=promote",
            "restore",
        ]
        settings = (tmp_path / "settings").read_text()
        assert f"pg1-path={target}\n" in settings
        assert f"repo2-host-key-file={opened}/databases/cloud-1-main.key\n" in settings
        assert "@" not in settings
        assert (
            target / "jizuo-kit.conf"
        ).read_text() == "max_connections = 100\nmax_prepared_transactions = 5\n"
        assert "-c archive_mode=off" in done.stdout
        again = database(opened, "cloud-1-main", str(target))
        assert (again.returncode, "nothing is written over" in again.stderr) == (1, True)
    silent = database(opened, "cloud-1-main", str(tmp_path / "other"))
    assert (silent.returncode, "no repository answers" in silent.stderr) == (1, True)
    strange = database(opened, "cloud-9-main", str(tmp_path / "other"))
    assert (strange.returncode, "no cluster cloud-9-main is in this kit" in strange.stderr) == (1, True)
    assert not (tmp_path / "other").exists()


def test_nothing_of_it_is_in_clear(controller: SecretStore, tmp_path: Path) -> None:
    kit, _ = make(tmp_path)
    sealed = kit.read_bytes()
    assert sealed.startswith(b"age-encryption.org/v1\n")
    secrets = [path.read_bytes().strip() for path in controller.folder.iterdir()]
    assert secrets
    for path in tmp_path.rglob("*"):
        if path.is_file() and controller.folder not in path.parents:
            content = path.read_bytes()
            assert not any(secret in content for secret in secrets), path
    assert b"backup-1" not in sealed


def test_verify_says_what_is_out_of_date(controller: SecretStore, tmp_path: Path) -> None:
    kit, key = make(tmp_path)
    code, said = escrow("verify", str(LAB), str(kit), "--identity", str(key))
    assert (code, said.rsplit(": ", 1)[1]) == (0, "every secret is today's\n")
    name = "backup-repository-offsite-1-cloud-1-gov-service"
    (controller.folder / name).write_text("another")
    code, said = escrow("verify", str(LAB), str(kit), "--identity", str(key))
    assert code == 2
    assert f"outdated    secrets/{name}" in said
    assert "outdated    keys/gov-service@cloud-1@offsite-1.password" in said
    assert "another" not in said
    (controller.folder / name).unlink()
    code, said = escrow("verify", str(LAB), str(kit), "--identity", str(key))
    assert code == 1
    assert f"{name} is not there" in said
    assert not (controller.folder / name).exists(), "no secret is made because it is asked for"


@pytest.mark.slow
def test_a_kit_that_is_too_much_work_is_not_called_a_wrong_passphrase() -> None:
    sealed = seal_by_passphrase(b"content", WORDS)
    header, work, rest = re.split(rb"(?<= )(\d+)(?=\n)", sealed, maxsplit=1)
    assert open_by_passphrase(sealed, WORDS) == b"content"
    with pytest.raises(SealError, match="takes more work than this machine"):
        open_by_passphrase(header + b"60" + rest, WORDS)
    with pytest.raises(SealError, match="passphrase does not open it"):
        open_by_passphrase(header + work + rest, WORDS + "x")


def test_a_kit_that_is_opened_by_words(controller: SecretStore, tmp_path: Path) -> None:
    kit = tmp_path / "kit.age"
    code, said = escrow("make", str(LAB), "--passphrase-file", "-", "--out", str(kit), input=f"{WORDS}\n")
    assert code == 0, said
    assert escrow("verify", str(LAB), str(kit), "--passphrase-file", "-", input=f"{WORDS}\n")[0] == 0
    code, said = escrow("verify", str(LAB), str(kit), "--passphrase-file", "-", input=f"{WORDS}x\n")
    assert code == 1
    assert "the passphrase does not open it" in said
    code, said = escrow("make", str(LAB), "--passphrase-file", "-", "--out", str(kit), input=f"{WORDS}\n")
    assert code == 1
    assert "an older kit opens older backups" in said


@pytest.mark.parametrize(
    ("recipient", "complaint"),
    [
        ("AGE-SECRET-KEY-1QQQQ", "a secret key was given"),
        ("somebody@city.example", "no public key of age"),
    ],
)
def test_who_can_open_it_has_to_be_said(
    controller: SecretStore, tmp_path: Path, recipient: str, complaint: str
) -> None:
    code, said = escrow("make", str(LAB), "--recipient", recipient, "--out", str(tmp_path / "kit.age"))
    assert code == 1
    assert complaint in said
    assert "SECRET-KEY-1" not in said
    assert not (tmp_path / "kit.age").exists()


def test_a_short_passphrase_is_refused_and_a_stranger_s_key_opens_nothing(tmp_path: Path) -> None:
    with pytest.raises(SealError, match="has 6 characters; 20 at least"):
        seal_by_passphrase(b"x", "secret")
    with pytest.raises(SealError, match="nobody could open it"):
        seal(b"x", [])
    with pytest.raises(SealError, match="does not open it"):
        open_by_passphrase(seal_by_passphrase(b"x", WORDS), WORDS.upper())


def test_what_is_no_kit_is_refused_and_what_differs_is_named() -> None:
    with pytest.raises(KitError, match="no recovery kit"):
        unpacked(b"not a tar archive" * 100)
    kit = Kit(version=1, city="x", made_at="one", repositories=(), systems=())
    described = {"kit.json": msgspec.json.encode(kit)}
    old = {**described, "keys/a": b"1", "keys/b": b"1", "restic": b"program"}
    found = differences(old, {**described, "keys/b": b"2", "keys/c": b"1"})
    assert [(one.file, one.what) for one in found] == [
        ("keys/a", "superfluous"), ("keys/b", "outdated"), ("keys/c", "missing"),
    ]  # fmt: skip
    assert unpacked(packed(old)) == old
