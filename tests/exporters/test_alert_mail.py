"""Alerts by mail and webhook: a real Alertmanager, and a real mail server that wants TLS and a login."""

from __future__ import annotations

import email
import email.policy
import ssl
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword
from aiosmtpd.smtp import Session as Client

from exporters.alerting.burn_rate import read_objectives
from exporters.prometheus import rule_documents, with_runbooks
from inventories.contacts import Contact, Contacts, MailServer
from tests.exporters.alertmanagers import Alertmanager, Receiver, free_port, wait_until
from tests.exporters.conftest import Authority

#: Characters outside ASCII, and those that shells and SASL treat apart.
PASSWORD = "口令 s3cret:'$\\"
#: A mail server that only a hosts file knows.
MAIL = "mail.yichun.example"
RUNBOOKS = "https://ops-1.yichun.example:9910/runbooks"
ALERT = {
    "alertname": "BackupFailed",
    "severity": "critical",
    "policy": "health",
    "node": "cloud-1",
    "owner": "health-commission",
    "owner_name": "市卫健委",
}
SUMMARY = "备份策略 health 在 cloud-1 上最近一次执行失败"


class Session(SMTP):
    """Asks for user and password as mail servers do (Postfix, Coremail), which Alertmanager waits for."""

    AuthLoginUsernameChallenge = "Username:"
    AuthLoginPasswordChallenge = "Password:"


class Listener(Controller):
    def factory(self) -> SMTP:
        return Session(self.handler, **self.SMTP_kwargs)


class MailServerOfTests:
    """Takes mail of one user over STARTTLS and keeps it; remembers who tried to log in."""

    def __init__(self, tls: ssl.SSLContext | None, without: str = "", address: str = "localhost") -> None:
        self.mails: list[tuple[list[str], EmailMessage]] = []
        self.logins: list[tuple[str, str]] = []
        self.controller = Listener(
            self,
            hostname=address,
            port=free_port(),
            tls_context=tls,
            require_starttls=tls is not None,
            auth_required=tls is not None,
            auth_require_tls=tls is not None,
            authenticator=self._authenticate,
            auth_exclude_mechanism=[without] if without else [],
        )
        self.controller.start()
        # By name: an IPv6 address as such is nothing that Alertmanager 0.25 can reach.
        self.smarthost = f"{'localhost' if address == 'localhost' else MAIL}:{self.controller.port}"

    def _authenticate(
        self, server: SMTP, session: Client, envelope: Envelope, mechanism: str, data: Any
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        shown = data.login.decode(), data.password.decode()
        self.logins.append(shown)
        return AuthResult(success=shown == ("jizuo", PASSWORD), handled=False)

    async def handle_DATA(self, server: SMTP, session: Client, envelope: Envelope) -> str:
        assert isinstance(envelope.content, bytes)
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append((list(envelope.rcpt_tos), mail))
        return "250 OK"


@pytest.fixture
def mail_server(tmp_path: Path, authority: Authority) -> Iterator[Callable[..., MailServerOfTests]]:
    """Starts mail servers, with a certificate of the test's authority unless told otherwise."""
    started: list[MailServerOfTests] = []

    def start(without: str = "", *, tls: bool = True, address: str = "localhost") -> MailServerOfTests:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*authority.issue(tmp_path, "mail", MAIL))
        server = MailServerOfTests(context if tls else None, without, address)
        started.append(server)
        return server

    yield start
    for server in started:
        server.controller.stop()


@pytest.fixture
def telling(tmp_path: Path) -> Iterator[Callable[..., Alertmanager]]:
    """Starts Alertmanagers with contacts, each in a folder of its own."""
    started: list[Alertmanager] = []

    def start(contacts: Contacts, names: dict[str, str] | None = None) -> Alertmanager:
        folder = tmp_path / f"alertmanager-{len(started)}"
        folder.mkdir()
        started.append(Alertmanager(folder, contacts, names))
        return started[-1]

    yield start
    for alertmanager in started:
        alertmanager.stop()


def contacts_by_mail(server: MailServerOfTests, authority: Path, password: Path) -> Contacts:
    return Contacts(
        mail=MailServer(
            smarthost=server.smarthost,
            sender="jizuo@yichun.example",
            username="jizuo",
            password_file=str(password),
            ca=str(authority),
        ),
        operations=Contact(mail=("ops@yichun.example", "duty@yichun.example")),
        owner={"health-commission": Contact(mail=("it@health.yichun.example",))},
    )


def annotations() -> dict[str, str]:
    """The rule's own, with the address of its runbook, and a summary as Prometheus renders it."""
    document = with_runbooks(rule_documents(read_objectives())["jizuo-backup.yml"], RUNBOOKS)
    rules = {rule.get("alert"): rule for group in document["groups"] for rule in group["rules"]}
    return {**rules[ALERT["alertname"]]["annotations"], "summary": SUMMARY}


def text_of(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


@pytest.mark.parametrize(("without", "address"), [("LOGIN", "127.0.0.1"), ("PLAIN", "::1")])
def test_everybody_gets_a_mail_when_it_begins_and_when_it_ends(
    tmp_path: Path,
    authority: Authority,
    mail_server: Callable[..., MailServerOfTests],
    telling: Callable[..., Alertmanager],
    without: str,
    address: str,
) -> None:
    server = mail_server(without, address=address)
    password = tmp_path / "password"
    password.write_text(
        PASSWORD
    )  # no newline at its end: Alertmanager 0.25 would send it, and deploy leaves none
    alertmanager = telling(contacts_by_mail(server, authority.file, password), {MAIL: address})
    alertmanager.post(ALERT, annotations=annotations())
    wait_until(lambda: len(server.mails) >= 3)
    alertmanager.post(ALERT, annotations=annotations(), ended=True)
    wait_until(lambda: len(server.mails) >= 6)
    everybody = ["duty@yichun.example", "it@health.yichun.example", "ops@yichun.example"]
    for word, mails in (("告警", server.mails[:3]), ("恢复", server.mails[3:])):
        assert sorted(to for tos, _ in mails for to in tos) == everybody
        for _, mail in mails:
            assert mail["From"] == "jizuo@yichun.example"
            assert mail["Subject"] == f"【{word}】BackupFailed 共1项"
            text = text_of(mail)
            assert f"【{word}】{SUMMARY}" in text
            assert "责任单位：市卫健委" in text
            assert f"手册：{RUNBOOKS}/BackupFailed" in text
            assert f"处置：{annotations()['action']}" in text
    assert set(server.logins) == {("jizuo", PASSWORD)}
    assert alertmanager.count("alertmanager_notifications_total", "email") == 6
    assert alertmanager.count("alertmanager_notifications_failed_total", "email") == 0


def test_a_server_that_is_not_trusted_gets_no_password_and_a_wrong_one_opens_nothing(
    tmp_path: Path,
    authority: Authority,
    mail_server: Callable[..., MailServerOfTests],
    telling: Callable[..., Alertmanager],
) -> None:
    """What is not sent counts as failed, which `NotificationsFailing` watches; a password is read anew each time."""
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text(PASSWORD)
    wrong.write_text(f"{PASSWORD}x")
    stranger = authority.issue(tmp_path, "stranger", "other-authority")[0]
    refusing, unknown, plain = mail_server(), mail_server(), mail_server(tls=False)
    alertmanagers = [
        telling(contacts_by_mail(refusing, authority.file, wrong)),
        telling(contacts_by_mail(unknown, stranger, right)),
        telling(contacts_by_mail(plain, authority.file, right)),
    ]
    for alertmanager in alertmanagers:
        alertmanager.post(ALERT, annotations=annotations())
    for alertmanager in alertmanagers:
        wait_until(lambda: alertmanager.count("alertmanager_notifications_failed_total", "email") >= 3)  # noqa: B023
    assert not [server.mails for server in (refusing, unknown, plain) if server.mails]
    assert set(refusing.logins) == {("jizuo", f"{PASSWORD}x")}
    assert unknown.logins == plain.logins == []
    wrong.write_text(PASSWORD)
    wait_until(lambda: len(refusing.mails) >= 3)


def test_a_webhook_gets_its_token_and_both_ends_of_an_alert(
    tmp_path: Path, receiver: Receiver, telling: Callable[..., Alertmanager]
) -> None:
    token = tmp_path / "token"
    token.write_text("t0ken-of-the-office\n")
    contact = Contact(webhook=f"{receiver.url}/operations", webhook_token_file=str(token))
    alertmanager = telling(Contacts(operations=contact, watchdog=Contact(webhook=f"{receiver.url}/watchdog")))
    alertmanager.post(ALERT, annotations=annotations())
    wait_until(lambda: len(receiver.shown) >= 1)
    alertmanager.post(ALERT, annotations=annotations(), ended=True)
    wait_until(lambda: len(receiver.shown) >= 2)
    assert [alert["status"] for _, alert in receiver.shown] == ["firing", "resolved"]
    assert {shown for shown, _ in receiver.shown} == {"Bearer t0ken-of-the-office"}
    for _, alert in receiver.shown:
        assert alert["labels"]["owner"] == "health-commission"
        assert alert["annotations"]["runbook_url"] == f"{RUNBOOKS}/BackupFailed"
    # A receiver without a token is shown none.
    receiver.shown.clear()
    alertmanager.post({"alertname": "Watchdog"})
    wait_until(lambda: len(receiver.shown) >= 1)
    assert receiver.shown[0][0] == ""
