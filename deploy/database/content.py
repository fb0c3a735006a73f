"""Clusters and what stands in them: made once, completed where something is missing, and nothing is ever dropped."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from pyinfra import host
from pyinfra.api import FactBase, StringCommand, operation

from deploy.database.clusters import Cluster
from deploy.database.node import ACCOUNT, DUMPING, SOURCE_ACCOUNT, VERSION

#: What pgBackRest calls when it takes a backup (its user guide, "Create a Restricted User").
_FUNCTIONS = (
    "pg_backup_start(text, boolean)",
    "pg_backup_stop(boolean)",
    "pg_switch_wal()",
    "pg_create_restore_point(text)",
)


class MissingClusters(FactBase[list[str]]):
    """Which of the clusters Debian's tools do not know."""

    default = list

    def command(self, version: str, instances: Sequence[str]) -> str:
        names = " ".join(shlex.quote(name) for name in instances)
        return (
            f"for cluster in {names}; do [ -e /etc/postgresql/{shlex.quote(version)}/$cluster/postgresql.conf ] "
            "|| printf '%s\\n' \"$cluster\"; done"
        )

    def process(self, output: Iterable[str]) -> list[str]:
        return sorted(output)


@operation()
def made(instances: Sequence[str]) -> Iterator[StringCommand]:
    """Clusters that shall be there: data with checksums, and readable to their group, which keepers need.

    + instances: Debian's names of them
    """
    missing = host.get_fact(MissingClusters, version=VERSION, instances=tuple(instances)) or []
    if not missing:
        host.noop(f"{len(instances)} clusters are there")
        return
    for instance in missing:
        yield StringCommand(
            f"pg_createcluster {VERSION} {shlex.quote(instance)} --start-conf=auto --encoding=UTF8 --locale=C.UTF-8 "
            "-- --allow-group-access --data-checksums >&2"
        )


class MissingContent(FactBase[list[str]]):
    """What a cluster lacks: `role NAME`, `database NAME`, `stamps NAME`; all of it when it does not answer."""

    default = list

    def command(self, instance: str, roles: Sequence[str], databases: Sequence[str], stamped: str) -> str:
        psql = f"{psql_of(instance)} -Atq -d"
        lines = [f'have=$({psql} postgres -c "{_THERE}" 2>/dev/null)']
        wanted = [*(f"role {name}" for name in roles), *(f"database {name}" for name in databases)]
        lines += [
            f"printf '%s\\n' \"$have\" | grep -qxF -- {shlex.quote(one)} || echo {shlex.quote(one)}"
            for one in wanted
        ]
        if stamped:
            asked = f"{psql} {shlex.quote(stamped)} -c \"select to_regclass('jizuo.stamp')\" 2>/dev/null"
            lines.append(f'[ -n "$({asked})" ] || echo {shlex.quote(f"stamps {stamped}")}')
        return "; ".join(lines)

    def process(self, output: Iterable[str]) -> list[str]:
        return list(output)


_THERE = "select 'role ' || rolname from pg_roles union all select 'database ' || datname from pg_database"


@operation()
def filled(cluster: Cluster) -> Iterator[StringCommand]:
    """Roles of the kit, and the databases that policies name, in a cluster that runs.

    + cluster: the cluster
    """
    roles = wanted_roles(cluster)
    missing = (
        host.get_fact(
            MissingContent,
            instance=cluster.instance,
            roles=roles,
            databases=cluster.databases,
            stamped=cluster.database,
        )
        or []
    )
    if not missing:
        host.noop(f"{cluster.instance} has its roles and databases")
        return
    yield StringCommand("/bin/sh -s", _stdin=fill_script(cluster, missing))


def wanted_roles(cluster: Cluster) -> tuple[str, ...]:
    """The roles that the kit's own work in a cluster needs."""
    return tuple(
        role for role, needed in ((DUMPING, cluster.dumped), (SOURCE_ACCOUNT, cluster.repositories)) if needed
    )


def fill_script(cluster: Cluster, missing: Sequence[str]) -> str:
    """The script that makes what is missing; pure."""
    psql = f"{psql_of(cluster.instance)} -q -v ON_ERROR_STOP=1 -d"
    lines = ["set -eu"]
    for one in missing:
        kind, _, name = one.partition(" ")
        sql = _SQL[kind](name)
        database = name if kind == "stamps" else "postgres"
        lines += [f"{psql} {shlex.quote(database)} >&2 <<'END'", sql, "END"]
    return "\n".join(lines) + "\n"


def psql_of(instance: str) -> str:
    """psql as the cluster's own account."""
    return f"runuser -u {ACCOUNT} -- psql --no-psqlrc --cluster={VERSION}/{shlex.quote(instance)}"


def _role(name: str) -> str:
    if name == DUMPING:
        # Reads every table and changes none (PostgreSQL 15, 22.5 Predefined Roles).
        return f"create role {_quoted(name)} login; grant pg_read_all_data to {_quoted(name)};"
    functions = "\n".join(
        f"grant execute on function pg_catalog.{function} to {_quoted(name)};" for function in _FUNCTIONS
    )
    return f"create role {_quoted(name)} login; grant pg_read_all_settings to {_quoted(name)};\n{functions}"


def _database(name: str) -> str:
    return f"create database {_quoted(name)};"


def _stamps(name: str) -> str:
    return (
        "begin;\ncreate schema if not exists jizuo;\n"
        "create table jizuo.stamp (id bigint generated always as identity primary key,\n"
        "  at timestamptz not null default clock_timestamp());\ncommit;"
    )


_SQL = {"role": _role, "database": _database, "stamps": _stamps}


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
