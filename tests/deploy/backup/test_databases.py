"""Command lines of databases' own tools: whole, from data, without a secret, and honest about what was tried."""

from __future__ import annotations

import re

import pytest

from deploy.backup.databases.adapters import ToolError, command, dump_entry, tools
from inventories.backups.records import DatabaseBackup, Engine

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
    ): "sys_dump --format=custom --compress=0 --no-password --port=54321 --dbname=catalogue --file={file}",
    (Engine.KINGBASE, "continuous"): "sys_rman --config=/etc/x.conf --stanza=54321 --type=full backup",
    (Engine.OPENGAUSS, "dump"): "gs_dump --format=c --port=5432 --file={file} catalogue",
    (
        Engine.OPENGAUSS,
        "continuous",
    ): "gs_probackup backup --backup-path=/srv/x --instance=5432 --backup-mode=FULL --stream --no-password",
    (
        Engine.OPENGAUSS,
        "basebackup",
    ): "gs_basebackup --pgdata=/srv/x --format=t --xlog-method=stream --port=5432",
    (Engine.DM8, "dump"): "dexp USERID=/@localhost:5236 FILE={file} LOG={file}.log SCHEMAS=catalogue",
    (Engine.DM8, "continuous"): "dmrman CTLFILE=/etc/x.conf",
}


def named(engine: Engine) -> DatabaseBackup:
    return DatabaseBackup(engine=engine, name="catalogue", instance=INSTANCES[engine])


@pytest.mark.parametrize(("engine", "action"), list(GOLDEN))
def test_the_command_is_this(engine: Engine, action: str) -> None:
    made = command(named(engine), action, folder="/srv/x", settings="/etc/x.conf")
    assert " ".join(made) == GOLDEN[engine, action]


def test_every_tool_has_its_golden_command_and_every_argument_its_source() -> None:
    have = {
        (engine, action)
        for engine, known in tools().items()
        for action in ("dump", "continuous", "basebackup")
        if getattr(known, action)
    }
    assert have == set(GOLDEN)
    for engine, action in have:
        assert all(argument.source for argument in getattr(tools()[engine], action).arguments)


def test_only_what_ran_on_the_product_is_called_tested() -> None:
    assert {engine for engine, known in tools().items() if known.tested} == {Engine.POSTGRESQL}
    assert dump_entry(named(Engine.DM8))["tested"] is False


def test_no_command_carries_a_password() -> None:
    for engine, action in GOLDEN:
        made = command(named(engine), action, folder="/srv/x", settings="/etc/x.conf")
        for argument in made:
            assert not re.search(r"(?i)passw(or)?d=|^-W|pwd|SYSDBA", argument), argument


def test_what_an_engine_cannot_do_is_said() -> None:
    with pytest.raises(ToolError, match=r"has no tool for basebackup; it has dump, continuous"):
        command(named(Engine.DM8), "basebackup")
    with pytest.raises(ToolError, match="sys_rman needs settings"):
        command(named(Engine.KINGBASE), "continuous")


def test_a_name_stays_one_argument() -> None:
    odd = DatabaseBackup(engine=Engine.POSTGRESQL, name="a b; rm -rf {file}")
    assert command(odd)[-2] == "--dbname=a b; rm -rf {file}"
