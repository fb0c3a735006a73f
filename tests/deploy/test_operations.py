"""The mirror and operations roles as wholes, on hosts of `@fake`: what is sent, how often is asked, nothing twice."""

from __future__ import annotations

import re
from pathlib import Path
from shutil import copytree

import pytest

from deploy.mirror_key import mirror_fingerprint, mirror_private_key
from deploy.operations import mirror_role, role
from deploy.operations.closure import Closure, Package
from deploy.operations.names import ZONES
from deploy.operations.repository import description
from deploy.secrets import SecretStore
from deploy.watch import role as watch_role
from tests.deploy.fake_hosts import LAB, FakeCity

OPS = "@fake/ops-1"
PACKAGES = tuple(
    Package(name, "1.0", "amd64", f"{name}_1.0_amd64.deb", len(name), f"{number:064x}")
    for number, name in enumerate(("frr", "gnupg", "reprepro"))
)


@pytest.fixture
def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCity:
    state = tmp_path / "state"
    city = FakeCity(state, monkeypatch)
    closure = Closure("amd64", PACKAGES, ("gnupg_1.0_amd64.deb", "reprepro_1.0_amd64.deb"))
    (tmp_path / "mirror/debs").mkdir(parents=True)
    for package in PACKAGES:
        (tmp_path / "mirror/debs" / package.file).write_text(package.name)
    wheelhouse = city.wheelhouse(tmp_path)
    monkeypatch.setattr(mirror_role, "fetch_closure", lambda: tmp_path / "mirror")
    monkeypatch.setattr(mirror_role, "load_closure", lambda folder: closure)
    monkeypatch.setattr(role, "make_wheelhouse", lambda: wheelhouse)
    store = SecretStore(state / "secrets")
    city.answers += [
        lambda command: _published(city, command, store),
        lambda command: _made_from(city, command),
        lambda command: _zones(city, command),
    ]
    return city


def _published(city: FakeCity, command: str, store: SecretStore) -> list[str] | None:
    if "dists/bookworm" not in command or not command.startswith("command -v reprepro"):
        return None
    if city.new:
        return []
    lines = ["tools", f"description {description(mirror_fingerprint(store))}"]
    for package in PACKAGES:
        path = f"pool/main/{package.name[0]}/{package.name}/{package.file}"
        lines += [
            f"package {package.name} {package.sha256} {package.size} {path}",
            f"file {package.size} {path}",
        ]
    return lines


def _made_from(city: FakeCity, command: str) -> list[str] | None:
    if "/etc/prometheus/.jizuo" not in command or "sha256sum --check" not in command:
        return None
    found = [match for text in city.history for match in re.findall(r"printf '%s\\n' ([0-9a-f]{64});", text)]
    return [] if city.new else found[-1:]


def _zones(city: FakeCity, command: str) -> list[str] | None:
    if not command.startswith(f"cd {ZONES}"):
        return None
    return []


def test_a_new_host_becomes_the_mirror(city: FakeCity) -> None:
    sent = city.run(mirror_role.mirror, "ops-1")[OPS]
    uploads = [command for command in sent if command.startswith("upload")]
    assert len(uploads) == 1
    script = next(command for command in sent if "includedeb" in command)
    assert "install -y --no-install-recommends ./gnupg_1.0_amd64.deb ./reprepro_1.0_amd64.deb" in script
    assert "set -- ./frr_1.0_amd64.deb ./gnupg_1.0_amd64.deb ./reprepro_1.0_amd64.deb" in script
    served = city.files[OPS]["/etc/nginx/nginx.conf"].data.decode()
    assert re.findall(r"listen (\S+);", served) == ["198.19.240.11:8081", "[2001:db8:ff00::b]:8081"]


def test_a_mirror_that_has_everything_is_sent_nothing(city: FakeCity) -> None:
    city.run(mirror_role.mirror, "ops-1")
    assert city.run(mirror_role.mirror, "ops-1") == {}
    # Six operations, each asked for its facts once to plan and once to carry out.
    assert city.asked[OPS] <= 12


def test_no_secret_shows_on_a_command_line(city: FakeCity, tmp_path: Path) -> None:
    city.run(mirror_role.mirror, "ops-1")
    private = mirror_private_key(SecretStore(tmp_path / "state/secrets")).decode().splitlines()[3]
    assert private not in "".join(command.split("\n", 1)[0] for command in city.history)


def test_a_new_host_gets_kit_monitoring_and_names(city: FakeCity) -> None:
    sent = city.run(role.operations, "ops-1")[OPS]
    files = city.files[OPS]
    assert files["/etc/jizuo/ssh/audit"].mode == "600"
    assert files["/etc/jizuo/ssh/audit"].owner == "jizuo"
    assert "jizuo==0.1.0 --hash=sha256:abab" in next(
        command for command in sent if "--require-hashes" in command
    )
    assert "cloud-1 IN AAAA" in files[f"{ZONES}/yichun.example.zone"].data.decode()
    assert 'name: "yichun.example"' in files["/etc/nsd/nsd.conf"].data.decode()
    order = [
        number
        for word in ("require-hashes", "prometheus-config", "systemctl start")
        for number, command in enumerate(sent)
        if word in command
    ][:3]
    assert order == sorted(order)


def test_operations_that_are_there_are_sent_nothing(city: FakeCity) -> None:
    city.run(role.operations, "ops-1")
    assert city.run(role.operations, "ops-1") == {}
    assert city.asked[OPS] <= 29


def test_a_changed_system_reaches_the_host(city: FakeCity, tmp_path: Path) -> None:
    """An inventory that changed: its files, the settings generated from it, and nothing else."""
    city.run(role.operations, "ops-1")
    changed = copytree(LAB, tmp_path / "changed")
    systems = changed / "systems.csv"
    systems.write_text(systems.read_text().replace("集中监控", "集中监控平台"))
    sent = city.run(role.operations, "ops-1", inventory=changed)[OPS]
    assert len(sent) == 2
    assert "/etc/jizuo/inventory/systems.csv" in sent[0]
    assert "systemctl" not in sent[0], "the exporter reads it by itself: a restart would lose its counters"
    assert "prometheus-config" in sent[1]


def test_the_second_watch_gets_the_same_alerting_and_then_nothing(city: FakeCity, tmp_path: Path) -> None:
    """Prometheus and Alertmanager in the other city; whom alerts go to follows from the file beside the inventory."""
    city.run(watch_role.watch, "offsite-1")
    files = city.files["@fake/offsite-1"]
    prometheus = files["/etc/prometheus/prometheus.yml"].data.decode()
    assert "replica: offsite-1" in prometheus
    assert "/etc/jizuo/monitoring/client.pem" in prometheus
    assert "webhook" not in files["/etc/prometheus/alertmanager.yml"].data.decode()
    assert city.run(watch_role.watch, "offsite-1") == {}
    assert city.asked["@fake/offsite-1"] <= 8
    told = copytree(LAB, tmp_path / "told")
    (told / "contacts.toml").write_text('[operations]\nwebhook = "https://duty.yichun.example/alerts"\n')
    sent = city.run(watch_role.watch, "offsite-1", inventory=told)["@fake/offsite-1"]
    assert len(sent) == 1, "the settings, and no daemon's arguments or keys"
    told_to = city.files["@fake/offsite-1"]["/etc/prometheus/alertmanager.yml"].data.decode()
    assert "https://duty.yichun.example/alerts" in told_to
