"""The database role: what nodes are sent, nothing twice, each key to who needs it and to nobody else."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.database import keeper, node, role
from deploy.database.clusters import clusters_of, kept_by
from deploy.database.content import fill_script, wanted_roles
from deploy.hoststate.files import File
from deploy.pyinfra_inventory import pyinfra_groups
from inventories.hosts import HostData
from tests.deploy.fake_hosts import LAB, FakeCity

CLOUD, BACKUP, OFFSITE = "@fake/cloud-1", "@fake/backup-1", "@fake/offsite-1"


@pytest.fixture
def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCity:
    city = FakeCity(tmp_path / "state", monkeypatch)

    def clusters(command: str) -> list[str] | None:
        match = re.match(r"for cluster in (.*?); do \[ -e /etc/postgresql/", command)
        return None if match is None else shlex.split(match[1]) if city.new else []

    def content(command: str) -> list[str] | None:
        if not command.startswith("have=$(runuser"):
            return None
        return re.findall(r"\|\| echo '((?:role|database|stamps) [^']*)'", command) if city.new else []

    city.answers += [clusters, content]
    return city


@pytest.fixture
def deployed(city: FakeCity) -> Iterator[dict[str, dict[str, File]]]:
    city.run(role.database, "cloud-1", "backup-1", "offsite-1")
    return city.files


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, HostData]:
    monkeypatch.setenv("JIZUO_STATE", str(tmp_path / "state"))
    found: dict[str, HostData] = pyinfra_groups(LAB)["cloud"][0][1]["all_hosts"]
    return found


def test_which_clusters_there_are_follows_from_the_policies(hosts: dict[str, HostData]) -> None:
    (cluster,) = clusters_of(hosts["cloud-1"])
    assert (cluster.stanza, cluster.database) == ("cloud-1-main", "portal")
    assert cluster.databases == ("portal", "catalogue")
    assert cluster.dumped == ("catalogue",)
    assert cluster.repositories == ("backup-1", "offsite-1")
    assert (cluster.fulls, cluster.diffs) == (4, 7)
    assert clusters_of(hosts["xinchuang-1"]) == []
    for place in ("backup-1", "offsite-1"):
        assert kept_by(hosts[place], hosts) == [cluster]


def test_what_is_there_is_sent_nothing(city: FakeCity) -> None:
    names = ("cloud-1", "backup-1", "offsite-1", "xinchuang-1")
    assert set(city.run(role.database, *names)) == {CLOUD, BACKUP, OFFSITE}
    assert city.run(role.database, *names) == {}
    # Nine operations, each asked for its facts once to plan and once to carry out.
    assert city.asked[CLOUD] <= 18


def test_the_order_is_the_one_that_a_new_node_needs(city: FakeCity) -> None:
    sent = city.run(role.database, "cloud-1")[CLOUD]
    steps = (
        "createcluster.conf",
        "apt-get",
        "pg_createcluster",
        "conf.d/jizuo.conf",
        "create role",
        "systemctl enable",
    )
    order = [next(number for number, command in enumerate(sent) if step in command) for step in steps]
    assert order == sorted(order)


def secrets(deployed: dict[str, dict[str, File]], host: str) -> dict[str, str]:
    """Passphrases in a host's files: what follows `cipher-pass=`, by path."""
    found = {}
    for path, file in deployed[host].items():
        for number, secret in enumerate(re.findall(r"cipher-pass=(\S+)", file.data.decode())):
            found[f"{path}#{number}"] = secret
    return found


def test_each_repository_has_a_passphrase_of_its_own_which_the_receiver_does_not_know(
    deployed: dict[str, dict[str, File]],
) -> None:
    here, there, off = secrets(deployed, CLOUD), secrets(deployed, BACKUP), secrets(deployed, OFFSITE)
    assert set(there) == set(off) == {"/etc/jizuo/database/keeper.conf#0"}
    assert set(here) == {"/etc/jizuo/database/sender.conf#0", "/etc/jizuo/database/sender.conf#1"}
    assert list(here.values()) == [*there.values(), *off.values()]
    assert len(set(here.values())) == 2


def test_what_opens_something_is_readable_to_one_account(deployed: dict[str, dict[str, File]]) -> None:
    wanted = {
        (CLOUD, "sender.key"): ("600", "postgres", "postgres"),
        (CLOUD, "sender.conf"): ("600", "postgres", "postgres"),
        (CLOUD, "source.key"): ("640", "root", "jizuo-source"),
        (BACKUP, "keeper.key"): ("600", "jizuo-keeper", "jizuo-keeper"),
        (BACKUP, "keeper.conf"): ("600", "jizuo-keeper", "jizuo-keeper"),
        (BACKUP, "receiver.key"): ("400", "jizuo-receiver", "jizuo-keeper"),
    }
    for (host, name), owner in wanted.items():
        file = deployed[host][f"/etc/jizuo/database/{name}"]
        assert (file.mode, file.owner, file.group) == owner, name
    for host in (CLOUD, BACKUP, OFFSITE):
        for path, file in deployed[host].items():
            if b"PRIVATE KEY" in file.data or b"cipher-pass" in file.data:
                assert int(file.mode, 8) & 0o007 == 0, path


def test_no_secret_is_on_a_command_line(city: FakeCity) -> None:
    city.run(role.database, "cloud-1", "backup-1")
    hidden = {*secrets(city.files, CLOUD).values()}
    for command in city.history:
        first = command.split("\n", 1)[0]
        assert not any(secret in first for secret in hidden)
        assert "PRIVATE KEY" not in first


def certificate(file: File) -> tuple[str, x509.ObjectIdentifier]:
    made = x509.load_pem_x509_certificate(file.data)
    usage = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    (name,) = made.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(name.value), next(iter(usage))


def test_a_certificate_serves_one_end_of_one_way(deployed: dict[str, dict[str, File]]) -> None:
    client, server = ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH
    folder = "/etc/jizuo/database"
    assert certificate(deployed[CLOUD][f"{folder}/sender.pem"]) == ("cloud-1", client)
    assert certificate(deployed[CLOUD][f"{folder}/source.pem"]) == ("cloud-1", server)
    assert certificate(deployed[BACKUP][f"{folder}/keeper.pem"]) == ("backup-1", client)
    assert certificate(deployed[BACKUP][f"{folder}/receiver.pem"]) == ("backup-1", server)
    receiver = deployed[BACKUP][f"{folder}/receiver.conf"].data.decode()
    assert re.findall(r"^tls-server-auth=(.*)$", receiver, re.M) == ["cloud-1=cloud-1-main"]
    source = deployed[CLOUD][f"{folder}/source.conf"].data.decode()
    assert re.findall(r"^tls-server-auth=(.*)$", source, re.M) == [
        "backup-1=cloud-1-main",
        "offsite-1=cloud-1-main",
    ]


def test_a_repository_has_the_number_that_its_senders_give_it(deployed: dict[str, dict[str, File]]) -> None:
    path = "/etc/jizuo/database/receiver.conf"
    assert "\nrepo1-path=/srv/databases\n" in deployed[BACKUP][path].data.decode()
    assert "\nrepo2-path=/srv/databases\n" in deployed[OFFSITE][path].data.decode()


def test_what_clients_reach_can_only_add(deployed: dict[str, dict[str, File]]) -> None:
    unit = deployed[BACKUP]["/etc/systemd/system/jizuo-database-receiver.service"].data.decode()
    assert "User=jizuo-receiver\n" in unit
    assert re.findall(r"^ReadWritePaths=(.*)$", unit, re.M) == ["/srv/databases/archive"]
    assert keeper.RECEIVER != keeper.KEEPER
    folders = deployed[BACKUP]["/etc/tmpfiles.d/jizuo-keeper.conf"].data.decode()
    assert "d /srv/databases/backup 0750 jizuo-keeper" in folders


def test_units_are_whole_for_systemd(deployed: dict[str, dict[str, File]], tmp_path: Path) -> None:
    for host in (CLOUD, BACKUP):
        for path, file in deployed[host].items():
            if not path.startswith("/etc/systemd/"):
                continue
            text = file.data.decode()
            sections = re.findall(r"^\[(\w+)\]$", text, re.M)
            assert sections[0] == "Unit" and "{{" not in text, path
            if path.endswith(".service"):
                assert "NoNewPrivileges=yes" in text and "ProtectSystem=strict" in text, path


def test_the_least_rights_are_given(hosts: dict[str, HostData]) -> None:
    (cluster,) = clusters_of(hosts["cloud-1"])
    assert wanted_roles(cluster) == ("jizuo-backup", "jizuo-source")
    script = fill_script(
        cluster, ["role jizuo-backup", "role jizuo-source", "database we\"ird'", "stamps portal"]
    )
    assert 'grant pg_read_all_data to "jizuo-backup"' in script
    assert "superuser" not in script
    assert 'create database "we""ird\'";' in script
    assert "drop" not in script
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)


def test_the_node_s_configuration_is_what_its_programs_read(deployed: dict[str, dict[str, File]]) -> None:
    from deploy.database.program.configuration import Configuration

    content = json.loads(deployed[CLOUD]["/etc/jizuo/database/cloud-1-main.json"].data)
    assert set(content) == set(Configuration._fields)
    assert content["places"] == [{"key": 1, "node": "backup-1"}, {"key": 2, "node": "offsite-1"}]
    keeping = json.loads(deployed[BACKUP]["/etc/jizuo/database/cloud-1-main.json"].data)
    from deploy.database.program.keep import Keeping

    assert set(keeping) == set(Keeping._fields)
    assert node.VERSION in content["data"]


def test_the_other_city_can_start_a_cluster_when_this_one_s_mirror_is_lost(city: FakeCity) -> None:
    sent = city.run(role.database, "backup-1", "offsite-1")
    order = [next(number for number, command in enumerate(sent[OFFSITE]) if step in command)
             for step in ("createcluster.conf", "postgresql-15")]  # fmt: skip
    assert order == sorted(order), "the package would make a cluster of its own"
    assert not any("postgresql-15" in command for command in sent[BACKUP])
