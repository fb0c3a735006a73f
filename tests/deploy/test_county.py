"""A county's agent and the city's long storage on hosts of `@fake`: what they are sent, and nothing twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.county import role
from deploy.county.role import county
from deploy.freshness.parts import COLLECTED
from deploy.operations.storage import arguments, daemon_files, front_files
from deploy.pyinfra_inventory import pyinfra_groups
from deploy.secrets import SecretStore
from inventories.monitoring import CLIENT_KEY
from tests.deploy.fake_hosts import LAB, FakeCity

AGENT = "@fake/agent-1"


@pytest.fixture
def city(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCity:
    city = FakeCity(tmp_path / "state", monkeypatch)
    wheelhouse = city.wheelhouse(tmp_path)
    monkeypatch.setattr(role, "make_wheelhouse", lambda: wheelhouse)
    return city


def test_an_agent_gets_its_certificate_before_settings_that_name_it(city: FakeCity) -> None:
    sent = city.run(county, "agent-1")[AGENT]
    files = city.files[AGENT]
    assert (files[CLIENT_KEY].mode, files[CLIENT_KEY].group) == ("640", "prometheus")
    first = {
        word: next(n for n, text in enumerate(sent) if word in text) for word in (CLIENT_KEY, "promtool")
    }
    assert first[CLIENT_KEY] < first["promtool"]
    daemon = files["/etc/default/prometheus"].data.decode()
    assert "--enable-feature=agent" in daemon
    assert "--web.config.file=/etc/jizuo/monitoring/node-exporter.yml" in daemon
    settings = files["/etc/prometheus/prometheus.yml"].data.decode()
    assert "url: https://ops-1.yichun.example:8427/api/v1/write" in settings
    assert set(role.PACKAGES) <= {word for text in sent for word in text.split()}


def test_an_agent_that_has_everything_is_sent_nothing(city: FakeCity) -> None:
    city.run(county, "agent-1")
    assert city.run(county, "agent-1") == {}
    # Nine operations, each asked for its facts once to plan and once to carry out.
    assert city.asked[AGENT] <= 18


def test_an_agent_probes_its_own_county_and_shows_it_on_its_loopback_alone(city: FakeCity) -> None:
    city.run(county, "agent-1")
    unit = city.files[AGENT]["/etc/systemd/system/jizuo-availability.service"].data.decode()
    command = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    assert (
        "exporter availability --inventory /etc/jizuo/inventory --shard county=360902 --interval 6s"
        in command
    )
    assert command.endswith("--web.listen-address=[::1]:9910")
    assert {"User=jizuo", "CapabilityBoundingSet=CAP_NET_RAW", "ProtectSystem=strict"} <= set(
        unit.splitlines()
    )


def test_an_agents_node_exporter_says_when_the_probes_last_went_round(city: FakeCity) -> None:
    sent = city.run(county, "agent-1")[AGENT]
    files = city.files[AGENT]
    program = "/usr/local/libexec/jizuo-county-probes"
    unit = files["/etc/systemd/system/jizuo-county-probes.service"].data.decode().splitlines()
    asked = f"{program} {COLLECTED}/jizuo-county-probes.prom http://[::1]:9910/metrics"
    assert f"ExecStart={asked}" in unit
    assert {"IPAddressDeny=any", "IPAddressAllow=localhost", "RestrictAddressFamilies=AF_INET6"} <= set(unit)
    assert "PrivateNetwork=yes" not in unit
    assert files[program].mode == "755"
    assert any("jizuo-county-probes.timer" in text for text in sent if "systemctl" in text)


def test_the_agents_key_shows_on_no_command_line(city: FakeCity) -> None:
    city.run(county, "agent-1")
    key = city.files[AGENT][CLIENT_KEY].data.decode().splitlines()[1]
    assert key not in "".join(text.split("\n", 1)[0] for text in city.history)


def test_the_storage_lets_the_inventory_s_agents_write_as_their_county(
    city: FakeCity, tmp_path: Path
) -> None:
    values = dict(pyinfra_groups(LAB)["operations"])["ops-1"]
    store = SecretStore(tmp_path / "secrets")
    files = {file.path: file for file in front_files(store, values["city"], values["all_hosts"])}
    front = files["/etc/nginx/jizuo.d/storage.conf"].data.decode()
    assert front.count("extra_label=") == 2
    assert '"CN=agent-1" "extra_label=replica=agent-1&extra_label=shard=360902";' in front
    assert "ssl_verify_client on;" in front
    assert (files["/etc/jizuo/storage/key.pem"].mode, files["/etc/jizuo/storage/key.pem"].owner) == (
        "600",
        "root",
    )


def test_the_storage_listens_for_its_own_host_and_keeps_what_the_inventory_says() -> None:
    said = arguments("/srv/metrics", 25)
    assert "-httpListenAddr=127.0.0.1:8428" in said
    assert "-retentionPeriod=25" in said
    assert "-enableTCP6" not in said
    unit = next(file for file in daemon_files(25) if file.path.endswith("jizuo.conf")).data.decode()
    assert "ProtectSystem=strict" in unit
    assert "StateDirectory=victoria-metrics" in unit
