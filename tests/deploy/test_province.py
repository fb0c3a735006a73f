"""What the deploy gives hosts that write to a province, and where the province may log in; on hosts of `@fake`."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree

import msgspec
import pytest
import yaml

from deploy.login.files import ALERTMANAGER_WEB, EXPORTER_WEB, PROMETHEUS_WEB, exporter_files, watching_files
from deploy.operations.monitoring import generate_script, settings_options
from deploy.pyinfra_inventory import pyinfra_groups
from deploy.secrets import SecretStore, StateError
from deploy.watch import role
from inventories.hosts import HostData
from inventories.monitoring import PROVINCE, PROVINCE_AUTHORITY, PROVINCE_PASSWORD
from tests.deploy.fake_hosts import LAB, FakeCity

WATCH = "@fake/offsite-1"
SECRET = "of the province's own making"


@pytest.fixture
def writing(tmp_path: Path) -> Path:
    """An inventory whose city writes to its province."""
    folder = copytree(LAB, tmp_path / "writing")
    table = '\n[monitoring.province]\nurl = "https://sums.jiangxi.example/api/v1/write"\nuser = "yichun"\n'
    with (folder / "city.toml").open("a") as file:
        file.write(table)
    return folder


def test_what_the_province_gave_reaches_the_hosts_and_shows_nowhere_else(
    tmp_path: Path, writing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = FakeCity(tmp_path / "state", monkeypatch)
    secrets = tmp_path / "state" / "secrets"
    secrets.mkdir(parents=True, exist_ok=True)
    with pytest.raises(
        StateError, match=r"province-authority\.pem is not there, and \[monitoring\.province\] of city\.toml"
    ):
        pyinfra_groups(writing)
    (secrets / "province-authority.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    with pytest.raises(StateError, match=r"province-password is not there, and \[monitoring\.province\]"):
        pyinfra_groups(writing, dry=True)
    (secrets / "province-password").write_text(SECRET)
    city.run(role.watch, "offsite-1", inventory=writing)
    files = city.files[WATCH]
    assert files[PROVINCE_PASSWORD].data.decode() == f"{SECRET}\n"
    assert (files[PROVINCE_PASSWORD].mode, files[PROVINCE_PASSWORD].group) == ("640", "prometheus")
    assert [path for path, file in files.items() if SECRET in (file.data or b"").decode()] == [
        PROVINCE_PASSWORD
    ]
    (write,) = yaml.safe_load(files["/etc/prometheus/prometheus.yml"].data)["remote_write"]
    assert write["url"] == "https://sums.jiangxi.example/api/v1/write"
    assert write["tls_config"] == {"ca_file": PROVINCE_AUTHORITY}
    assert write["basic_auth"] == {"username": "yichun", "password_file": PROVINCE_PASSWORD}
    assert SECRET not in "".join(text.split("\n", 1)[0] for text in city.history)
    assert city.run(role.watch, "offsite-1", inventory=writing) == {}


def test_the_operations_node_generates_its_settings_with_these_files() -> None:
    alone: HostData = dict(pyinfra_groups(LAB)["operations"])["ops-1"]["city"]
    writing = msgspec.structs.replace(alone, monitoring_province=True)
    wanted = f"--province-password-file={PROVINCE_PASSWORD}"
    assert wanted in generate_script("0" * 64, settings_options(writing))
    assert "province" not in generate_script("0" * 64, settings_options(alone))


def test_the_province_may_log_in_at_prometheus_where_the_city_says_so(tmp_path: Path) -> None:
    store = SecretStore(tmp_path)
    closed: HostData = dict(pyinfra_groups(LAB)["operations"])["ops-1"]["city"]
    assert users(store, closed) == set()
    opened = msgspec.structs.replace(closed, monitoring_federation=True)
    assert users(store, opened) == {PROMETHEUS_WEB}


def users(store: SecretStore, data: HostData) -> set[str]:
    """The web.yml files that let the province in."""
    found = [*watching_files(store, data), *exporter_files(store, data, "jizuo")]
    web = [file for file in found if file.path in (PROMETHEUS_WEB, ALERTMANAGER_WEB, EXPORTER_WEB)]
    assert len(web) == 3
    return {file.path for file in web if PROVINCE in yaml.safe_load(file.data)["basic_auth_users"]}
