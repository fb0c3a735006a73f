"""Who is told of what: a real Alertmanager that gets alerts over its interface, and a receiver that counts."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from exporters.alerting.alertmanager import alertmanager_config
from exporters.alerting.burn_rate import ObjectivesError, read_objectives
from exporters.alerting.inhibition import read_inhibitions
from exporters.prometheus import read_rules, rule_documents, with_runbooks
from exporters.province import PROVINCE_RULES
from exporters.runbooks.pages import HEADINGS, runbook_page, sources
from inventories.contacts import Contact, Contacts, ContactsError, read_contacts
from inventories.load import load_city
from inventories.monitoring import cluster_arguments
from tests.exporters.alertmanagers import Alertmanager, Receiver, wait_until
from tests.exporters.conftest import COMMAND

ROOT = Path(__file__).parents[2]
LAB = ROOT / "inventories" / "lab"
ALERTS = {
    rule["alert"]: rule
    for document in (*rule_documents(read_objectives()).values(), read_rules(PROVINCE_RULES))
    for group in document["groups"]
    for rule in group["rules"]
    if "alert" in rule
}


#: Commands that have commands.
GROUPS = {"drill", "exporter", "inventory", "policy"}


@pytest.fixture
def alertmanager(tmp_path: Path, receiver: Receiver) -> Iterator[Alertmanager]:
    contacts = Contacts(
        operations=Contact(webhook=f"{receiver.url}/operations"),
        watchdog=Contact(webhook=f"{receiver.url}/watchdog"),
        owner={"health-commission": Contact(webhook=f"{receiver.url}/health")},
    )
    started = Alertmanager(tmp_path, contacts)
    yield started
    started.stop()


def alert(name: str, family: str = "ipv4", **labels: str) -> dict[str, str]:
    """An alert as Prometheus sends it: the rule's own labels and those of the series."""
    fixed = ALERTS[name]["labels"]
    place = next((labels[one] for one in ("site", "township", "county", "subject") if one in labels), "-")
    return {"alertname": name, **fixed, "family": family, "place": place, **labels}


def test_what_lies_behind_a_failure_is_held_back(alertmanager: Alertmanager, receiver: Receiver) -> None:
    here = {"county": "360902", "township": "360902105"}
    beside = {"county": "360902", "township": "360902104"}
    alertmanager.post(
        alert("TownshipUnreachable", **here),
        alert("TownshipBudgetBurnFast", **here),
        *(
            alert("VillageUnreachable", level="village", site=f"3609021052{n:02}", **here)
            for n in range(1, 15)
        ),
        alert("VillageUnreachable", "ipv6", level="village", site="360902105201", **here),
        alert("VillageUnreachable", level="village", site="360902104200", **beside),
        alert("CountyUnreachable", county="360981"),
        alert("CountyAvailabilityLow", county="360981"),
        alert("TownshipUnreachable", county="360981", township="360981100"),
        alert(
            "VillageUnreachable", level="village", county="360981", township="360981100", site="360981100200"
        ),
        alert("CountyAvailabilityLow", county="360902"),
        alert("SystemEndpointDown", level="city", subject="portal", check="http://cloud-1/"),
        alert("SystemBudgetBurnFast", subject="portal"),
        alert("SystemBudgetBurnFast", subject="office"),
    )
    wanted = [
        "CountyAvailabilityLow",
        "CountyUnreachable",
        "SystemBudgetBurnFast",
        "SystemEndpointDown",
        "TownshipUnreachable",
        "VillageUnreachable",  # of the other township
        "VillageUnreachable",  # in the other family
    ]
    wait_until(lambda: len(receiver.names()) >= len(wanted))
    settle(alertmanager)
    assert receiver.names() == wanted
    told = {(labels["alertname"], labels["family"], labels["place"]) for _, labels in receiver.told}
    assert ("VillageUnreachable", "ipv6", "360902105201") in told
    assert ("VillageUnreachable", "ipv4", "360902104200") in told
    assert ("CountyAvailabilityLow", "ipv4", "360902") in told
    held = [name for name, state in alertmanager.states().items() if state == "suppressed"]
    assert len(held) == 14 + 1 + 3 + 1


def test_a_city_out_of_reach_is_one_page(alertmanager: Alertmanager, receiver: Receiver) -> None:
    counties = [f"3609{n:02}" for n in range(1, 14)]
    alertmanager.post(
        alert("CityUnreachable"),
        *(alert("CountyUnreachable", county=county) for county in counties),
        *(alert("TownshipUnreachable", county=county, township=f"{county}100") for county in counties),
    )
    wait_until(lambda: bool(receiver.names()))
    settle(alertmanager)
    assert receiver.names() == ["CityUnreachable"]


def test_an_owner_is_told_of_its_own_and_operations_of_all(
    alertmanager: Alertmanager, receiver: Receiver
) -> None:
    alertmanager.post(
        alert("BackupFailed", policy="health", node="cloud-1", owner="health-commission"),
        alert("BackupFailed", policy="office", node="cloud-1", owner="data-bureau"),
        alert("Watchdog"),
    )
    wait_until(lambda: len(receiver.told) >= 4)
    settle(alertmanager)
    assert receiver.names() == ["BackupFailed", "BackupFailed"]
    assert receiver.names("/health") == ["BackupFailed"]
    assert receiver.names("/watchdog") == ["Watchdog"]


def settle(alertmanager: Alertmanager) -> None:
    """Until every group had its turn: Alertmanager has looked at each alert, and a group's interval went by twice."""
    wait_until(lambda: "unprocessed" not in alertmanager.states().values())
    time.sleep(3)


def test_every_alert_that_is_named_in_inhibitions_exists() -> None:
    known = read_inhibitions()
    named = {name for pair in known.pair for name in (pair.source, *pair.targets)}
    assert named <= set(ALERTS)
    levels = [level.name for level in known.level]
    for name, rule in ALERTS.items():
        signal, level = rule["labels"].get("signal"), rule["labels"].get("level")
        if signal is None:
            continue
        # the level is either the rule's own or that of the one kind of series that it speaks of
        assert level in levels or 'level="village"' in rule["expr"], name


def test_mail_webhook_and_secrets_as_files(tmp_path: Path) -> None:
    for name in ("password", "token", "ca.crt"):
        (tmp_path / name).write_text("")
    file = tmp_path / "contacts.toml"
    file.write_text(f"""
[mail]
smarthost = "mail.yichun.example:587"
sender = "jizuo@yichun.example"
username = "jizuo"
password_file = "{tmp_path}/password"

[operations]
mail = ["ops@yichun.example"]
webhook = "https://ops.yichun.example/alerts"
webhook_ca = "{tmp_path}/ca.crt"
webhook_token_file = "{tmp_path}/token"

[owner.health-commission]
mail = ["it@health.yichun.example", "duty@health.yichun.example"]
""")
    units = frozenset(load_city(LAB).units)
    config = alertmanager_config(read_contacts(file, units))
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(config, allow_unicode=True))
    done = subprocess.run(
        ["amtool", "check-config", str(tmp_path / "alertmanager.yml")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert config["global"]["smtp_auth_password_file"] == f"{tmp_path}/password"
    receivers = {receiver["name"]: receiver for receiver in config["receivers"]}
    assert len(receivers["owner-health-commission"]["email_configs"]) == 2
    for receiver, expected in (
        ("health-commission", "owner-health-commission,operations"),
        ("x", "operations"),
    ):
        routed = subprocess.run(
            [
                *("amtool", "config", "routes", "test"),
                *(f"--config.file={tmp_path}/alertmanager.yml", "severity=critical", f"owner={receiver}"),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
        assert routed.stdout.strip() == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[owner.data-burea]\nmail = ["a@b"]\n[mail]\nsmarthost="x:25"\nsender="a@b"',
            "1:8: .*mean data-bureau",
        ),
        ('[operations]\nmail = ["a@b"]', "2:1: .*no server"),
        ('[mail]\nsmarthost="x:25"\nsender="a@b"\nusername="u"', "4:1: .*password_file"),
        ('[operations]\nwebhook = "ftp://x"', "2:1: operations.webhook: .*regex"),
        ('[mail]\nsmarthost="[2001:db8::25]:25"\nsender="a@b"', "2:1: .*server's name"),
        ('[watchdog]\nwebhook_ca="one"\n[operations]\nwebhook_token_file="one"', "one file"),
        ('[operations]\nwebhook_token_file="../one"', "2:1: operations.webhook_token_file"),
        ('[mail]\nsmarthost="x:25"\nsender="a@b"\npassword="secret"', "4:1: .*password"),
        ("[operations\n", "1:12: .*TOML"),
    ],
)
def test_contacts_that_cannot_be_used_are_refused(text: str, said: str, tmp_path: Path) -> None:
    shutil.copytree(LAB, folder := tmp_path / "city")
    (file := folder / "contacts.toml").write_text(text)
    with pytest.raises(ContactsError, match=said) as refused:
        read_contacts(file, frozenset({"data-bureau"}))
    assert str(file) in str(refused.value)
    assert "secret" not in str(refused.value)
    # Whoever validates an inventory hears the same.
    command = [*COMMAND[:-1], "inventory", "validate", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert str(refused.value).partition(";")[0] in done.stderr


def test_everything_that_is_wrong_with_contacts_is_told_at_once(tmp_path: Path) -> None:
    (file := tmp_path / "contacts.toml").write_text(
        '[operations]\nmail = ["a@b"]\n[owner.nobody]\nwebhook = "https://x"'
    )
    with pytest.raises(ContactsError) as refused:
        read_contacts(file, frozenset({"data-bureau"}))
    assert [(one.line, one.column) for one in refused.value.problems] == [(3, 8), (2, 1)]


def test_objectives_that_cannot_be_used_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "objectives.toml"
    for text in ('[county]\nname="x"\nobjective="99.5"\nseries="a:b:ratio"', 'period = "7d"', "["):
        file.write_text(text)
        with pytest.raises(ObjectivesError, match=r"objectives\.toml"):
            read_objectives(file)


def test_two_alertmanagers_name_each_other_and_one_opens_no_port() -> None:
    pair = {"ops-1": "2001:db8::1", "ops-2": "2001:db8::2"}
    assert cluster_arguments(pair, "ops-2") == [
        "--cluster.listen-address=[::]:9094",
        "--cluster.advertise-address=[2001:db8::2]:9094",
        "--cluster.peer=[2001:db8::1]:9094",
    ]
    assert cluster_arguments({"ops-1": "192.0.2.1"}, "ops-1") == ["--cluster.listen-address="]


def test_every_alert_has_a_runbook_and_its_address() -> None:
    assert set(sources()) == set(ALERTS)
    for name, source in sources().items():
        headings = tuple(line.removeprefix("## ") for line in source.splitlines() if line.startswith("## "))
        assert headings == HEADINGS, name
        assert source.startswith("# ") and f"（{name}）" in source.splitlines()[0]
        page = runbook_page(name)
        assert page is not None and f"<h1>{source.splitlines()[0][2:]}</h1>" in page
        assert not re.search(r"(src|href)=", page)
    document = with_runbooks(
        rule_documents(read_objectives())["jizuo-backup.yml"], "https://ops:9910/runbooks"
    )
    for rule in document["groups"][0]["rules"]:
        assert rule["annotations"]["runbook_url"] == f"https://ops:9910/runbooks/{rule['alert']}"
    assert runbook_page("../contacts") is None


def test_the_commands_of_runbooks_exist() -> None:
    wanted = {
        match[1]
        for text in sources().values()
        for match in re.finditer(r"`jizuo ([a-z-]+(?: [a-z-]+)?)", text)
    }
    for words in sorted(wanted):
        command, _, second = words.partition(" ")
        asked = [command, second] if command in GROUPS else [command]
        done = subprocess.run(
            [sys.executable, str(ROOT / "jizuo.py"), *asked, "--help"],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, (asked, done.stderr)
