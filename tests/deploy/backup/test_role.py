"""The backup role as a whole on hosts of `@fake`: what is sent, nothing twice, and no secret where it shows."""

from __future__ import annotations

import json
import stat
import subprocess
from pathlib import Path

import pytest

from deploy.backup import client, role, server
from deploy.backup.recovery import RecoveryError, asked_for, key_files, place
from deploy.hoststate.files import File
from deploy.pyinfra_inventory import pyinfra_groups
from deploy.secrets import SecretStore
from inventories.hosts import HostData
from tests.deploy.fake_hosts import LAB, FakeCity

HOSTS = ("cloud-1", "xinchuang-1", "backup-1", "offsite-1")
CLOUD, BACKUP = "@fake/cloud-1", "@fake/backup-1"


@pytest.fixture
def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCity:
    city = FakeCity(tmp_path / "state", monkeypatch)
    city.answers.append(lambda command: _policies(city, command))
    return city


def _policies(city: FakeCity, command: str) -> list[str] | None:
    if not command.startswith("ls -1 /etc/jizuo/backup"):
        return None
    known = city.files.get(city._current, {})
    return [
        path.rpartition("/")[2]
        for path, file in known.items()
        if path.startswith("/etc/jizuo/backup/") and file.content is not None and not city.new
    ]


def test_a_client_gets_a_job_and_its_repositories_let_it_in(city: FakeCity, tmp_path: Path) -> None:
    city.run(role.backup, *HOSTS)
    files = city.files[CLOUD]
    configuration = json.loads(files["/etc/jizuo/backup/gov-service.json"].data)
    assert [one["node"] for one in configuration["repositories"]] == ["backup-1", "offsite-1"]
    assert configuration["rpo_seconds"] == 3600
    timer = files["/etc/systemd/system/jizuo-backup@gov-service.timer"].data.decode()
    assert "OnCalendar=*-*-* *:00/15:00 Asia/Shanghai" in timer
    assert "Unit=jizuo-backup-scheduled@gov-service.service" in timer
    for name, argument in (("jizuo-backup", "--wait"), ("jizuo-backup-scheduled", "--scheduled")):
        unit = files[f"/etc/systemd/system/{name}@.service"].data.decode()
        assert f"ExecStart=/usr/bin/python3 -m jizuo_backup run {argument} %i\n" in unit
    assert {path for path in files if path.startswith("/usr/local/lib/jizuo/")} == {
        f"{client.LIBRARY}/{path.name}" for path in client.PROGRAM.glob("*.py")
    }
    for file in files.values():
        if "/keys/" in file.path:
            assert (file.mode, file.owner, file.group) == ("640", "root", client.USER)
    # Each client has a login at each server, and a repository password for each policy: no two the same.
    secrets = SecretStore(tmp_path / "state/secrets").folder
    passwords = [path.read_text() for path in secrets.glob("backup-login-*")]
    passwords += [path.read_text() for path in secrets.glob("backup-repository-*")]
    assert len(passwords) == len(set(passwords)) == 8
    logins = city.files[BACKUP]["/etc/jizuo/repository/htpasswd"].data.decode().splitlines()
    assert [line.split(":")[0] for line in logins] == ["cloud-1", "xinchuang-1"]
    assert all(line.split(":")[1].startswith("$2a$") for line in logins)


def test_hosts_that_have_everything_are_sent_nothing(city: FakeCity) -> None:
    city.run(role.backup, *HOSTS)
    assert city.run(role.backup, *HOSTS) == {}
    # Four operations on a client, five on a server, and the fact of the host's policies, each asked once to plan
    # and once to carry out.
    assert city.asked[CLOUD] <= 9
    assert city.asked[BACKUP] <= 11


def test_no_secret_shows_on_a_command_line_and_each_is_private_here(city: FakeCity, tmp_path: Path) -> None:
    city.run(role.backup, *HOSTS)
    lines = "".join(command.split("\n", 1)[0] for command in city.history)
    found = list((tmp_path / "state/secrets").iterdir())
    assert len(found) > 8
    for path in found:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text().splitlines()[-2 if "pem" in path.name else 0] not in lines


def there(city: FakeCity, host: str, *names: str) -> list[str]:
    """The files of these suffixes that the host holds."""
    return [
        path for path, file in city.files[host].items() if path.endswith(names) and file.content is not None
    ]


def test_a_policy_that_ended_is_taken_off_its_client(city: FakeCity) -> None:
    city.run(role.backup, "cloud-1")
    old = [
        "/etc/jizuo/backup/an-old-policy.json",
        "/etc/jizuo/backup/keys/an-old-policy@backup-1.password",
        "/etc/jizuo/backup/keys/an-old-policy@backup-1.repository",
        "/etc/jizuo/backup/keys/gov-service@backup-9.password",  # a copy that the policy no longer has
        "/etc/systemd/system/jizuo-backup@an-old-policy.timer",
        f"{client.LIBRARY}/a_former_module.py",
    ]
    before = there(city, CLOUD, "")
    city.files[CLOUD].update({path: File(path, "old") for path in old})
    sent = city.run(role.backup, "cloud-1")[CLOUD]
    assert any("systemctl disable --quiet --now -- jizuo-backup@an-old-policy.timer" in one for one in sent)
    assert there(city, CLOUD, "") == before
    assert city.run(role.backup, "cloud-1") == {}


def test_keys_go_from_a_host_that_has_no_policy_any_more(city: FakeCity) -> None:
    city.run(role.backup, "ops-1")
    key = "/etc/jizuo/backup/keys/an-old-policy@backup-1.password"
    city.files["@fake/ops-1"] = {key: File(key, "old")}
    city.run(role.backup, "ops-1")
    assert there(city, "@fake/ops-1", ".password") == []


def test_a_server_removes_old_snapshots_with_keys_that_its_clients_side_cannot_read(city: FakeCity) -> None:
    city.run(role.backup, *HOSTS)
    files = city.files[BACKUP]
    held = json.loads(files["/etc/jizuo/repository/held/cloud-1-gov-service.json"].data)
    assert (held["client"], held["policy"], held["folder"]) == (
        "cloud-1", "gov-service", "/srv/repositories/cloud-1/gov-service",
    )  # fmt: skip
    assert held["keep"] == {"hourly": 24, "daily": 7, "weekly": 4, "monthly": 12}
    password = files[held["password_file"]]
    assert (password.mode, password.owner, password.group) == ("640", "root", "jizuo-maintenance")
    opens = city.files[CLOUD]["/etc/jizuo/backup/keys/gov-service@backup-1.password"]
    assert password.data == opens.data
    service = files["/etc/systemd/system/jizuo-repository.service"].data.decode()
    assert "jizuo-maintenance" not in service
    timer = files["/etc/systemd/system/jizuo-repository-maintenance.timer"].data.decode()
    assert timer.count("OnCalendar=") == 8
    assert "OnCalendar=*-*-* 01:00:00 Asia/Shanghai" in timer
    # A repository that is no longer held here leaves no key behind.
    city.files[BACKUP]["/etc/jizuo/repository/held/gone-old.password"] = File(
        "/etc/jizuo/repository/held/gone-old.password", "old"
    )
    city.run(role.backup, "backup-1")
    assert there(city, BACKUP, "gone-old.password") == []


@pytest.mark.parametrize(
    ("window", "first", "last", "count"),
    [
        ("01:00-05:00", "01:00", "04:30", 8),
        ("23:00-00:30", "23:00", "00:00", 3),
        ("08:00-08:00", "08:00", "07:30", 48),
    ],
)
def test_the_maintenance_tries_again_in_its_window(window: str, first: str, last: str, count: int) -> None:
    moments = server.tries_in(window)
    assert (moments[0], moments[-1], len(moments)) == (first, last, count)


def test_a_job_sees_its_policys_paths_alone(city: FakeCity) -> None:
    city.run(role.backup, "cloud-1")
    for name in ("jizuo-backup", "jizuo-backup-scheduled"):
        path = f"/etc/systemd/system/{name}@gov-service.service.d/confined.conf"
        text = city.files[CLOUD][path].data.decode()
        assert "TemporaryFileSystem=/:ro" in text
        assert 'BindReadOnlyPaths="-/srv/systems"' in text
        assert text.count("IPAddressAllow=") == 5  # two servers in both families, and localhost
    assert client.bind('/srv/a b:c%d"e') == r'''"-/srv/a b\:c%%d\"e"'''


def test_the_units_are_hardened() -> None:
    for name in (
        "jizuo-backup.service.j2",
        "jizuo-repository.service.j2",
        "jizuo-repository-maintenance.service.j2",
    ):
        unit = (client.TEMPLATES / name).read_text()
        for setting in (
            "NoNewPrivileges=yes",
            "ProtectSystem=strict",
            "PrivateTmp=yes",
            "UMask=0077",
            "User=",
        ):
            assert setting in unit
    assert server.USER != client.USER


def test_the_rendered_units_yield_to_others_make_up_for_missed_runs_and_satisfy_systemd(
    city: FakeCity, tmp_path: Path
) -> None:
    city.run(role.backup, "cloud-1")
    folder = tmp_path / "units"
    for path, file in city.files[CLOUD].items():
        if path.startswith("/etc/systemd/system/jizuo-backup"):
            # In place of the template's instance: the same settings, and the program that this machine has.
            name = path.removeprefix("/etc/systemd/system/").replace("@.service", "@gov-service.service")
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(file.data.decode())
    units = [folder / f"{name}@gov-service.service" for name in ("jizuo-backup", "jizuo-backup-scheduled")]
    for unit in units:
        lines = unit.read_text().splitlines()
        assert {"Nice=10", "IOSchedulingClass=idle", "NoNewPrivileges=yes", "PrivateTmp=yes"} <= set(lines)
    timer = folder / "jizuo-backup@gov-service.timer"
    settings = dict(line.split("=", 1) for line in timer.read_text().splitlines() if "=" in line)
    assert settings["Persistent"] == "yes"
    assert int(settings["RandomizedDelaySec"]) == 240  # a fifteenth of the RPO of an hour
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", timer, *units], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, HostData]:
    monkeypatch.setenv("JIZUO_STATE", str(tmp_path / "state"))
    groups = pyinfra_groups(LAB)
    found: dict[str, HostData] = groups["cloud"][0][1]["all_hosts"]
    return found


def test_a_recovery_gives_root_alone_the_keys_of_the_lost_node(
    hosts: dict[str, HostData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SecretStore(tmp_path / "state/secrets")
    monkeypatch.setattr("deploy.backup.recovery.secret_store", lambda: store)
    recovery = asked_for(hosts, "cloud-1", "gov-service", "yichun-gov-service-net")
    files = {file.path: file for file in key_files(recovery, hosts)}
    assert {(file.mode, file.group) for file in files.values()} == {("600", "root")}
    configuration = json.loads(files["/etc/jizuo/recovery/gov-service.json"].data)
    assert configuration["host"] == "cloud-1"
    for one in configuration["repositories"]:
        assert files[one["repository_file"]].data.decode().startswith("rest:https://cloud-1:")
    assert "location ^~ /yichun-gov-service-net/" in place(recovery).data.decode()


def test_keys_alone_are_given_for_a_restore_that_is_a_test(
    hosts: dict[str, HostData], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "deploy.backup.recovery.secret_store", lambda: SecretStore(tmp_path / "state/secrets")
    )
    recovery = asked_for(hosts, "cloud-1", "gov-service", "")
    assert {file.path.rpartition("/")[0] for file in key_files(recovery, hosts)} == {
        "/etc/jizuo/recovery",
        "/etc/jizuo/recovery/keys",
    }


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (("cloud-9", "gov-service", "x"), "client=cloud-9: no such node"),
        (("cloud-1", "nightly", "x"), "cloud-1 has no such policy; it has gov-service"),
        (("cloud-1", "gov-service", "collab-office"), "not on cloud-1, which has yichun-gov-service-net"),
    ],
)
def test_a_recovery_that_the_inventory_does_not_know_is_refused(
    hosts: dict[str, HostData], names: tuple[str, str, str], complaint: str
) -> None:
    with pytest.raises(RecoveryError, match=complaint):
        asked_for(hosts, *names)
