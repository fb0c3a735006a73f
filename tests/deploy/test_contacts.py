"""Whom alerts go to, as a deploy brings it: the secrets that contacts.toml names, on `@fake` hosts and real tools."""

from __future__ import annotations

import base64
import os
import subprocess
from pathlib import Path
from shutil import copytree

import pytest
import yaml

from deploy.operations import contacts as contacts_module
from deploy.operations import role
from deploy.operations.contacts import contact_files, contacts_of, readable
from deploy.operations.monitoring import generate_script
from deploy.secrets import PassingSecrets, SecretStore, StateError
from deploy.watch import role as watch_role
from inventories.contacts import ContactsError
from inventories.load import load_city
from inventories.monitoring import CONTACTS_FOLDER
from tests.deploy.fake_hosts import LAB, FakeCity

OFFSITE, OPS = "@fake/offsite-1", "@fake/ops-1"
PASSWORD, TOKEN = "p4ss of the mail's $account", "t0ken-of-the-duty-desk"
CONTACTS = """
[mail]
smarthost = "mail.yichun.example:587"
sender = "jizuo@yichun.example"
username = "jizuo"
password_file = "mail-password"
ca = "mail-authority.pem"

[operations]
mail = ["ops@yichun.example"]
webhook = "https://duty.yichun.example/alerts"
webhook_token_file = "duty-token"
webhook_ca = "mail-authority.pem"
"""


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """The lab's inventory with contacts that name two secrets and an authority."""
    folder = copytree(LAB, tmp_path / "told")
    (folder / "contacts.toml").write_text(CONTACTS)
    (folder / "mail-authority.pem").write_text("-----BEGIN CERTIFICATE-----\n")
    return folder


@pytest.fixture
def store(tmp_path: Path) -> SecretStore:
    """A controller's secrets, with those that people gave: as an editor leaves them, with a newline at their end."""
    store = SecretStore(tmp_path / "state/secrets")
    store.folder.mkdir(parents=True)
    (store.folder / "contacts-mail-password").write_text(f"{PASSWORD}\n")
    (store.folder / "contacts-duty-token").write_text(f"{TOKEN}\r\n")
    return store


@pytest.fixture
def city(tmp_path: Path, store: SecretStore, monkeypatch: pytest.MonkeyPatch) -> FakeCity:
    city = FakeCity(tmp_path / "state", monkeypatch)
    wheelhouse = city.wheelhouse(tmp_path)
    monkeypatch.setattr(role, "make_wheelhouse", lambda: wheelhouse)
    return city


def test_secrets_come_to_both_alertmanagers_readable_to_them_alone(city: FakeCity, told: Path) -> None:
    city.run(role.operations, "ops-1", inventory=told)
    city.run(watch_role.watch, "offsite-1", inventory=told)
    for host in (OPS, OFFSITE):
        found = {path: file for path, file in city.files[host].items() if path.startswith(CONTACTS_FOLDER)}
        assert {
            path: (file.data.decode(), file.mode, file.owner, file.group) for path, file in found.items()
        } == {
            f"{CONTACTS_FOLDER}/mail-password": (PASSWORD, "640", "root", "prometheus"),
            f"{CONTACTS_FOLDER}/duty-token": (TOKEN, "640", "root", "prometheus"),
            f"{CONTACTS_FOLDER}/mail-authority.pem": ("-----BEGIN CERTIFICATE-----\n", "644", "root", "root"),
        }
    assert city.run(watch_role.watch, "offsite-1", inventory=told) == {}


def test_secrets_are_there_before_the_settings_that_name_them(city: FakeCity, told: Path) -> None:
    """At the second watch they come in one set, checked together."""
    for deploy, node, settings in (
        (role.operations, "ops-1", "amtool check-config"),
        (watch_role.watch, "offsite-1", "systemctl reload"),
    ):
        sent = city.run(deploy, node, inventory=told)[f"@fake/{node}"]
        brought = next(
            number for number, text in enumerate(sent) if f"{CONTACTS_FOLDER}/duty-token.jizuo" in text
        )
        named = next(number for number, text in enumerate(sent) if settings in text)
        assert brought < named or (node == "offsite-1" and brought == named)


def test_no_secret_shows_on_a_command_line(city: FakeCity, told: Path) -> None:
    city.run(role.operations, "ops-1", inventory=told)
    city.run(watch_role.watch, "offsite-1", inventory=told)
    # Commands end where their standard input begins.
    lines = "".join(command.split("\n", 1)[0] for command in city.history)
    for secret in (PASSWORD, TOKEN):
        encoded = base64.b64encode(secret.encode()).decode()
        assert encoded in "".join(city.history)
        assert secret not in lines and encoded not in lines
    settings = city.files[OFFSITE]["/etc/prometheus/alertmanager.yml"].data.decode()
    assert PASSWORD not in settings and TOKEN not in settings


def test_another_password_changes_its_file_and_nothing_restarts(
    city: FakeCity, told: Path, store: SecretStore
) -> None:
    city.run(watch_role.watch, "offsite-1", inventory=told)
    (store.folder / "contacts-mail-password").write_text("another")
    sent = city.run(watch_role.watch, "offsite-1", inventory=told)[OFFSITE]
    assert len(sent) == 1 and "restart" not in sent[0]
    assert city.files[OFFSITE][f"{CONTACTS_FOLDER}/mail-password"].data == b"another"
    (told / "contacts.toml").unlink()
    city.run(watch_role.watch, "offsite-1", inventory=told)
    left = {path for path, file in city.files[OFFSITE].items() if file.content is not None}
    assert not [path for path in left if path.startswith(CONTACTS_FOLDER)]


def test_a_secret_that_nobody_gave_names_its_file_and_the_way_out(told: Path, tmp_path: Path) -> None:
    contacts = contacts_of(told, load_city(LAB))
    empty = tmp_path / "state/secrets"
    for kind in (SecretStore, PassingSecrets):
        with pytest.raises(StateError) as refused:
            contact_files(kind(empty), told, contacts)
        said = str(refused.value)
        assert said.startswith(f"{empty}/contacts-mail-password is not there")
        assert f"{told}/contacts.toml: mail.password_file" in said
        assert f"cat >{empty}/contacts-mail-password" in said
    empty.mkdir(parents=True)
    (empty / "contacts-mail-password").write_text("\n")
    with pytest.raises(StateError, match="contacts-mail-password is empty"):
        contact_files(SecretStore(empty), told, contacts)


def test_an_authority_that_is_not_there_is_refused(told: Path, store: SecretStore) -> None:
    (told / "mail-authority.pem").unlink()
    with pytest.raises(ContactsError, match=r"mail-authority\.pem:1:1: .*No such file.*mail\.ca wants it"):
        contact_files(store, told, contacts_of(told, load_city(LAB)))


def test_a_path_is_the_office_s_own_to_bring(told: Path, store: SecretStore) -> None:
    (told / "contacts.toml").write_text(CONTACTS.replace('"mail-password"', '"/srv/secrets/mail"'))
    contacts = contacts_of(told, load_city(LAB))
    brought = {file.path for file in contact_files(store, told, contacts)}
    assert brought == {f"{CONTACTS_FOLDER}/duty-token", f"{CONTACTS_FOLDER}/mail-authority.pem"}
    assert any("/srv/secrets/mail" in command for command in readable(contacts))


def test_amtool_takes_the_settings_and_each_file_that_they_name_is_brought(
    city: FakeCity, told: Path, tmp_path: Path
) -> None:
    city.run(watch_role.watch, "offsite-1", inventory=told)
    document = city.files[OFFSITE]["/etc/prometheus/alertmanager.yml"].data.decode()
    named = {value for value in _texts(yaml.safe_load(document)) if value.startswith("/")}
    assert named == {path for path in city.files[OFFSITE] if path.startswith(CONTACTS_FOLDER)}
    (tmp_path / "alertmanager.yml").write_text(document)
    subprocess.run(["amtool", "check-config", str(tmp_path / "alertmanager.yml")], check=True, timeout=300)


def _texts(value: object) -> list[str]:
    if isinstance(value, dict):
        return [text for one in value.values() for text in _texts(one)]
    if isinstance(value, list):
        return [text for one in value for text in _texts(one)]
    return [value] if isinstance(value, str) else []


@pytest.mark.skipif(os.geteuid() != 0, reason="to become another account needs root")
def test_what_alertmanager_cannot_read_stops_the_deploy(
    told: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands themselves, run by a shell whose standard input is the rest of the script."""
    monkeypatch.setattr(contacts_module, "ACCOUNT", "nobody")
    office = Path("/run") / f"jizuo-test-{tmp_path.name}-{tmp_path.parent.name}"
    (told / "contacts.toml").write_text(
        f'[operations]\nwebhook = "https://x/"\nwebhook_token_file = "{office}"\n'
    )
    commands = readable(contacts_of(told, load_city(LAB)))
    assert "\n".join(commands) in generate_script("00", [], commands)
    script = "\n".join(["set -eu", *commands, "echo the rest ran", ""])
    try:
        for content, mode, runs in (("", 0o644, False), ("token", 0o600, False), ("token", 0o644, True)):
            office.write_text(content)
            office.chmod(mode)
            done = subprocess.run(
                ["sh", "-s"], input=script, capture_output=True, text=True, timeout=300, check=False
            )
            assert (done.returncode == 0, "the rest ran" in done.stdout) == (runs, runs), (mode, done.stderr)
            assert (
                runs
                or f"{office}, which contacts.toml names, is empty or nobody cannot read it" in done.stderr
            )
    finally:
        office.unlink()
