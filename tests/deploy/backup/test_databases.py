"""Command lines of databases' own tools: whole, from data, without a secret, and honest about what was tried."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path

import msgspec
import pytest

from deploy.backup.client import LOGIN_FOLDER, USER, account, confinements
from deploy.backup.databases.adapters import (
    ACTIONS,
    HOME,
    ToolError,
    command,
    dump_entry,
    environment,
    seen_paths,
    tools,
)
from deploy.backup.job.configuration import Dump
from deploy.backup.job.dumps import take
from deploy.backup.job.restic import JobError
from deploy.pyinfra_inventory import pyinfra_groups
from inventories.backups.records import DatabaseBackup, Engine
from inventories.hosts import HostData
from tests.deploy.fake_hosts import LAB

#: Each engine's instance as its tools have it.
INSTANCES = {
    Engine.POSTGRESQL: "main",
    Engine.KINGBASE: "54321",
    Engine.OPENGAUSS: "5432",
    Engine.DM8: "5236",
}
GOLDEN = {
    (Engine.POSTGRESQL, "dump"): "pg_dump --format=custom --compress=0 --no-password --cluster=15/main "
    "--dbname=catalogue --file={file}",
    (
        Engine.KINGBASE,
        "dump",
    ): "sys_dump --format=custom --compress=0 --no-password --host=localhost --port=54321 --dbname=catalogue "
    "--file={file}",
    (
        Engine.POSTGRESQL,
        "restore",
    ): "pg_restore --exit-on-error --no-password --cluster=15/main --dbname=catalogue {file}",
    (
        Engine.KINGBASE,
        "restore",
    ): "sys_restore --exit-on-error --no-password --host=localhost --port=54321 --dbname=catalogue {file}",
    (
        Engine.OPENGAUSS,
        "restore",
    ): "gs_restore --exit-on-error --format=c --no-password --host=127.0.0.1 --port=5432 "
    "--dbname=catalogue {file}",
    (
        Engine.DM8,
        "restore",
    ): "dimp CONFIG_FILE=/var/lib/jizuo/backup/login/dimp-5236.conf FILE={file} LOG={file}.restore.log "
    "SCHEMAS=catalogue DUMMY=N",
    (Engine.KINGBASE, "continuous"): "sys_rman --config=/etc/x.conf --stanza=54321 --type=full backup",
    (Engine.OPENGAUSS, "dump"): "gs_dump --format=c --compress=0 --no-password --host=127.0.0.1 --port=5432 "
    "--file={file} catalogue",
    (
        Engine.OPENGAUSS,
        "continuous",
    ): "gs_probackup backup --backup-path=/srv/x --instance=5432 --backup-mode=FULL --stream --no-password",
    (
        Engine.OPENGAUSS,
        "basebackup",
    ): "gs_basebackup --pgdata=/srv/x --format=t --xlog-method=stream --no-password --port=5432",
    (
        Engine.DM8,
        "dump",
    ): "dexp CONFIG_FILE=/var/lib/jizuo/backup/login/dexp-5236.conf FILE={file} LOG={file}.log SCHEMAS=catalogue "
    "DUMMY=Y",
}


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, HostData]:
    monkeypatch.setenv("JIZUO_STATE", str(tmp_path / "state"))
    found: dict[str, HostData] = pyinfra_groups(LAB)["cloud"][0][1]["all_hosts"]
    return found


def named(engine: Engine) -> DatabaseBackup:
    return DatabaseBackup(engine=engine, name="catalogue", instance=INSTANCES[engine])


@pytest.mark.parametrize(("engine", "action"), list(GOLDEN))
def test_the_command_is_this(engine: Engine, action: str) -> None:
    made = command(named(engine), action, folder="/srv/x", settings="/etc/x.conf")
    assert " ".join(made) == GOLDEN[engine, action]


def test_every_tool_has_its_golden_command_and_every_argument_its_source() -> None:
    have = {
        (engine, action) for engine, known in tools().items() for action in ACTIONS if getattr(known, action)
    }
    assert have == set(GOLDEN)
    for engine, action in have:
        assert all(argument.source for argument in getattr(tools()[engine], action).arguments)


#: What of a host a job sees for an engine, and no data folder is among them.
SEEN = {
    Engine.POSTGRESQL: "/etc/postgresql /etc/postgresql-common /run/postgresql /var/run/postgresql",
    Engine.KINGBASE: "/opt/Kingbase/ES/V8/Server/bin /opt/Kingbase/ES/V9/Server/bin "
    "/opt/Kingbase/ES/V8/ClientTools/bin /opt/Kingbase/ES/V9/ClientTools/bin /opt/Kingbase/ES/V8/Server/lib "
    "/opt/Kingbase/ES/V9/Server/lib /opt/Kingbase/ES/V8/KESRealPro /opt/Kingbase/ES/V9/KESRealPro",
    Engine.OPENGAUSS: "/opt/huawei/install/app/bin /opt/software/openGauss/bin /opt/huawei/install/app/lib "
    "/opt/software/openGauss/lib",
    Engine.DM8: "/opt/dmdbms/bin /home/dmdba/dmdbms/bin /dm8/bin /etc/dm_svc.conf",
}


@pytest.mark.parametrize("engine", list(Engine))
def test_a_job_sees_the_tools_of_its_policys_engines_alone(
    engine: Engine, hosts: dict[str, HostData]
) -> None:
    job = msgspec.structs.replace(hosts["cloud-1"].backups[0], databases=(named(engine),))
    unit = confinements(job, hosts)[0].data.decode()
    for other, paths in SEEN.items():
        assert seen_paths(other) == paths.split()
        for path in paths.split():
            assert (f'BindReadOnlyPaths="-{path}"\n' in unit) is (other is engine), path
        assert all(
            known.source
            for known in (*tools()[other].programs, *tools()[other].libraries, *tools()[other].read)
        )


@pytest.mark.parametrize("engine", list(Engine))
def test_a_host_has_a_folder_for_logins_where_an_engines_tools_read_them(
    engine: Engine, hosts: dict[str, HostData], tmp_path: Path
) -> None:
    job = msgspec.structs.replace(hosts["cloud-1"].backups[0], databases=(named(engine),))
    [made] = [file for file in account([job]) if file.path == LOGIN_FOLDER]
    if engine is Engine.POSTGRESQL:
        assert made.content is None
        return
    for path, text in (
        ("etc/passwd", f"{USER}:x:990:990::/nonexistent:/bin/false\n"),
        ("etc/group", f"{USER}:x:990:\n"),
        (made.path.removeprefix("/"), made.data.decode()),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    subprocess.run(["systemd-tmpfiles", "--create", f"--root={tmp_path}", Path(made.path).name], check=True)
    login = tmp_path / HOME.removeprefix("/")
    found = login.stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o700, 990, 990)
    assert environment(engine)["HOME"] == HOME
    # What holds a login is in that folder, and nowhere else.
    named_in = [
        *command(named(engine)),
        *environment(engine).values(),
        tools()[engine].login.format(login=HOME),
    ]
    assert any(f"{HOME}/" in text for text in named_in)
    assert f'BindPaths="-{HOME.rpartition("/")[0]}"' in confinements(job, hosts)[0].data.decode()


def test_a_tool_is_found_where_its_maker_puts_it_and_has_its_libraries_alone(tmp_path: Path) -> None:
    """A program of another name stands for the product, which is not here: it says what it was given."""
    home = tmp_path / "opt/bin"
    home.mkdir(parents=True)
    tool = home / "dexp-of-a-test"
    tool.write_text('#!/bin/sh\necho "$HOME $LD_LIBRARY_PATH" >"$1"\n')
    tool.chmod(0o755)
    told = environment(Engine.DM8)
    assert told["PATH"].startswith("/opt/dmdbms/bin:/home/dmdba/dmdbms/bin:/dm8/bin:/usr/")
    assert environment(Engine.POSTGRESQL) == {}
    dump = Dump(
        "dm8", "catalogue", "5236", False, str(tmp_path / "dumps/x.dmp"), (tool.name, "{file}"),
        {**told, "PATH": f"{home}:{told['PATH']}"},
    )  # fmt: skip
    take([dump])
    assert Path(dump.file).read_text() == f"{HOME} /opt/dmdbms/bin:/home/dmdba/dmdbms/bin:/dm8/bin\n"
    with pytest.raises(JobError, match=r"is not on this host in /opt/dmdbms/bin:"):
        take([dump._replace(environment=told)])


def test_only_what_ran_on_the_product_is_called_tested() -> None:
    assert {engine for engine, known in tools().items() if known.tested} == {Engine.POSTGRESQL}
    assert dump_entry(named(Engine.DM8))["tested"] is False


def test_no_command_carries_a_password() -> None:
    for engine, action in GOLDEN:
        made = command(named(engine), action, folder="/srv/x", settings="/etc/x.conf")
        for argument in made:
            assert not re.search(r"(?i)passw(or)?d=|^-W|pwd|SYSDBA", argument), argument


def test_what_an_engine_cannot_do_is_said() -> None:
    with pytest.raises(ToolError, match=r"has no tool for basebackup; it has dump, restore"):
        command(named(Engine.DM8), "basebackup")
    with pytest.raises(ToolError, match="sys_rman needs settings"):
        command(named(Engine.KINGBASE), "continuous")


@pytest.mark.parametrize("engine", list(Engine))
@pytest.mark.parametrize("action", ["dump", "restore"])
def test_two_instances_are_two_servers(engine: Engine, action: str) -> None:
    other = msgspec.structs.replace(named(engine), instance="other")
    assert command(other, action) != command(named(engine), action)


def test_a_name_stays_one_argument() -> None:
    odd = DatabaseBackup(engine=Engine.POSTGRESQL, name="a b; rm -rf {file}")
    assert command(odd)[-2] == "--dbname=a b; rm -rf {file}"
