"""Prometheus and Alertmanager: their settings come from the installed kit, checked before they take effect."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence

from pyinfra import host
from pyinfra.api import FactBase, StringCommand, operation

from deploy.hoststate.files import File
from deploy.login.files import (
    ALERTMANAGER_WEB,
    CHECK,
    CLUSTER_TLS,
    PROMETHEUS_WEB,
    prometheus_options,
    watching_files,
)
from deploy.operations.inventory_copy import FOLDER
from deploy.operations.kit import HOME
from deploy.operations.services import ACCOUNT
from deploy.operations.storage import WRITE_URL
from deploy.secrets import SecretStore
from inventories.hosts import HostData
from inventories.monitoring import (
    ALERTMANAGER_PORT,
    AUTHORITY,
    CONTACTS,
    PASSWORD,
    PROGRAMS,
    PROMETHEUS_PORT,
    WATCHING,
    cluster_arguments,
    endpoint,
)
from inventories.records import Family

#: Where Debian's packages read their settings.
SETTINGS = "/etc/prometheus"
#: The runbooks, as files that each Prometheus serves itself: whichever still watches can say what to do.
RUNBOOKS = f"{SETTINGS}/runbooks"
_STAMP = f"{SETTINGS}/.jizuo"


class GeneratedFrom(FactBase[str]):
    """What the settings were generated from, when every generated file is still as it was; otherwise empty."""

    default = str

    def command(self) -> str:
        return (
            f"cd {SETTINGS} 2>/dev/null && [ -f {_STAMP} ] && tail -n +2 {_STAMP} | sha256sum --check --status "
            f"&& head -n 1 {_STAMP} || true"
        )

    def process(self, output: Iterable[str]) -> str:
        return "".join(output).strip()


#: What must hold of :func:`daemon_files` before they take effect.
VALID = tuple(f"{CHECK} {{{path}}} >/dev/null" for path in (PROMETHEUS_WEB, ALERTMANAGER_WEB))
RESTART = "systemctl try-restart prometheus prometheus-alertmanager"


def daemon_files(
    store: SecretStore, data: HostData, hosts: Mapping[str, HostData], *, days: int, gigabytes: int
) -> list[File]:
    """The daemons' arguments, and by what they show themselves and ask who comes.

    They listen in both families (the firewall says who may ask); Prometheus keeps data for so many days and no more
    than so many gigabytes. Of `hosts`, all of the city, those with an Alertmanager are one cluster.
    """
    # Alerts carry these URLs; left to themselves the daemons would write http, TLS or not.
    mine = "--web.external-url=https://{fqdn}:{port}/"
    prometheus = (
        f"--web.listen-address=:{PROMETHEUS_PORT} --web.config.file={PROMETHEUS_WEB} "
        f"--web.user-assets={RUNBOOKS} "
        f"{mine.format(fqdn=data.fqdn, port=PROMETHEUS_PORT)} "
        f"--storage.tsdb.retention.time={days}d --storage.tsdb.retention.size={gigabytes}GB"
    )
    peers = {name: one.management[Family.IPV6] for name, one in hosts.items() if one.role in WATCHING}
    cluster = " ".join(cluster_arguments(peers, data.name, CLUSTER_TLS))
    alertmanager = (
        f"--web.listen-address=:{ALERTMANAGER_PORT} --web.config.file={ALERTMANAGER_WEB} "
        f"{mine.format(fqdn=data.fqdn, port=ALERTMANAGER_PORT)} {cluster}"
    )
    return [
        *watching_files(store, data),
        File("/etc/default/prometheus", f'ARGS="{prometheus}"\n'),
        File("/etc/default/prometheus-alertmanager", f'ARGS="{alertmanager}"\n'),
    ]


def settings_options(data: HostData) -> list[str]:
    """The options of `jizuo exporter prometheus-config` for a node with these daemons.

    Runbooks are looked up at the node's own Prometheus, by its address: names are served by the data centre that may
    have failed.
    """
    own = endpoint(str(data.management[Family.IPV6]), PROMETHEUS_PORT)
    return [
        f"--replica={data.name}",
        *prometheus_options(data.monitoring_province),
        f"--runbook-url=https://{own}/user/{{alert}}.html",
    ]


@operation()
def generated_settings(
    made_from: str, options: Sequence[str], validate: Sequence[str] = ()
) -> Iterator[StringCommand]:
    """Prometheus's and Alertmanager's settings as the installed kit generates them for the host's inventory.

    + made_from: a digest of all that they follow from: the kit's release and the inventory
    + options: those of :func:`settings_options`
    + validate: shell commands that must succeed before they take effect, beside promtool and amtool

    They are generated beside the current ones and checked with promtool and amtool; only files that differ
    are replaced; running daemons reload. When Prometheus does not take them, the old files come back.
    """
    if host.get_fact(GeneratedFrom) == made_from:
        host.noop("the settings are as the kit generates them")
        return
    yield StringCommand("/bin/sh -s", _stdin=generate_script(made_from, options, validate))


def generate_script(made_from: str, options: Sequence[str], validate: Sequence[str] = ()) -> str:
    """The shell script that generates, checks and installs the settings; pure."""
    checks = "\n".join(validate) or ":"
    return f"""set -eu
umask 022
stage=$(mktemp -d {SETTINGS}/.stage.XXXXXX)
trap 'rm -rf "$stage"' EXIT
trap 'exit 129' HUP INT TERM
mkdir "$stage/new" "$stage/old"
chown {ACCOUNT} "$stage/new"
chmod 755 "$stage"
# The office's own file, which a city may have beside its inventory: who is told of alerts.
set --
[ ! -e {FOLDER}/{CONTACTS} ] || set -- --contacts {FOLDER}/{CONTACTS}
runuser -u {ACCOUNT} -- {HOME}/bin/jizuo exporter prometheus-config {FOLDER} "$@" \\
    {" ".join(map(shlex.quote, options))} \\
    --storage-url {WRITE_URL} --out "$stage/new" >&2 </dev/null
chown -R root:root "$stage/new"
promtool check config "$stage/new/prometheus.yml" >/dev/null </dev/null
amtool check-config "$stage/new/alertmanager.yml" >/dev/null </dev/null
{checks}
cd "$stage/new"
find . -type f | sort >"$stage/names"
{{ printf '%s\\n' {shlex.quote(made_from)}; xargs -d '\\n' sha256sum -- <"$stage/names"; }} >"$stage/stamp"
cd {SETTINGS}
for name in prometheus.yml alertmanager.yml rules targets; do
    [ ! -e "$name" ] || cp -a "$name" "$stage/old/"
done
reload() {{
    for unit in prometheus prometheus-alertmanager; do
        ! systemctl is-active -q "$unit" || systemctl reload "$unit"
    done
}}
took_it() {{
    systemctl is-active -q prometheus || return 0
    {HOME}/bin/python - "$1" <<'END'
{_ASK}
END
}}
# Files go first and the stamp last: a run that dies in between is seen by the next.
rm -f {_STAMP}
while read -r name; do
    mkdir -p "${{name%/*}}"
    cmp -s "$stage/new/$name" "$name" || mv -f "$stage/new/$name" "$name"
done <"$stage/names"
find rules targets runbooks -type f | while read -r name; do
    grep -qxF "./$name" "$stage/names" || rm -f "$name"
done
since=$(date +%s)
reload
if ! took_it "$since" >&2; then
    rm -rf rules targets
    cp -a "$stage/old/." .
    reload
    echo 'Prometheus did not take the new settings; the files are as they were before' >&2
    exit 1
fi
mv -f "$stage/stamp" {_STAMP}
"""


#: Waits for Prometheus to say that its last reload was after a moment and went well; exit 1 when it did not.
_ASK = f"""
import base64, pathlib, ssl, sys, time, urllib.request
since, deadline = float(sys.argv[1]), time.monotonic() + 10
login = f"{PROGRAMS}:{{pathlib.Path('{PASSWORD}').read_text().strip()}}"
request = urllib.request.Request("https://[::1]:{PROMETHEUS_PORT}/metrics")
request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
trusted = ssl.create_default_context(cafile="{AUTHORITY}")
while time.monotonic() < deadline:
    with urllib.request.urlopen(request, timeout=5, context=trusted) as answer:
        lines = [line.decode() for line in answer if line.startswith(b"prometheus_config_last_reload")]
    found = dict(line.split(" ", 1) for line in lines)
    good = float(found["prometheus_config_last_reload_successful"])
    at = float(found["prometheus_config_last_reload_success_timestamp_seconds"])
    if not good:
        sys.exit("Prometheus: the reload failed")
    if at >= since:
        sys.exit(0)
    time.sleep(0.1)
sys.exit("Prometheus: no reload within 10 s")
""".strip()
