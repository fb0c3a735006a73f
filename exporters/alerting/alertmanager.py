"""What does Alertmanager read? Routes, receivers, inhibition."""

from __future__ import annotations

from typing import Any

from exporters.alerting.inhibition import inhibit_rules, read_inhibitions
from inventories.contacts import Contact, Contacts, MailServer, path_of

#: How soon a new group of alerts is told, and how often it is told again while it holds, by severity.
_PACE = {
    "critical": {"group_wait": "10s", "group_interval": "1m", "repeat_interval": "1h"},
    "warning": {"group_wait": "5m", "group_interval": "10m", "repeat_interval": "24h"},
}
#: What always holds is told at once and at this pace: the receiver waits for it.
_WATCHDOG = {"group_wait": "0s", "group_interval": "1m", "repeat_interval": "5m"}


def alertmanager_config(contacts: Contacts) -> dict[str, Any]:
    """`alertmanager.yml`: operations gets everything, an owner what is its own; alerts of a place come together."""
    named = {"operations": contacts.operations, "watchdog": contacts.watchdog}
    named |= {f"owner-{owner}": contact for owner, contact in contacts.owner.items()}
    routes: list[dict[str, Any]] = [
        {"receiver": "watchdog", "matchers": ['alertname="Watchdog"'], **_WATCHDOG},
        *(
            # `continue`: operations gets it too
            {
                "receiver": f"owner-{owner}",
                "matchers": [f'owner="{owner}"'],
                "continue": True,
                "routes": _by_severity(f"owner-{owner}"),
            }
            for owner in contacts.owner
        ),
        *_by_severity("operations"),
    ]
    config: dict[str, Any] = {"global": _global(contacts.mail)} if contacts.mail else {}
    return config | {
        "route": {
            "receiver": "operations",
            "group_by": ["alertname", "county", "township", "family"],
            **_PACE["warning"],
            "routes": routes,
        },
        "receivers": [_receiver(name, contact, contacts.mail) for name, contact in named.items()],
        "inhibit_rules": inhibit_rules(read_inhibitions()),
    }


def _by_severity(receiver: str) -> list[dict[str, Any]]:
    return [
        {"receiver": receiver, "matchers": [f'severity="{severity}"'], **pace}
        for severity, pace in _PACE.items()
    ]


def _global(server: MailServer) -> dict[str, Any]:
    found: dict[str, Any] = {
        "smtp_smarthost": server.smarthost,
        "smtp_from": server.sender,
        "smtp_require_tls": server.tls,
    }
    if server.username:
        found |= {
            "smtp_auth_username": server.username,
            "smtp_auth_password_file": path_of(server.password_file),
        }
    return found


def _receiver(name: str, contact: Contact, server: MailServer | None) -> dict[str, Any]:
    receiver: dict[str, Any] = {"name": name}
    if contact.webhook:
        receiver["webhook_configs"] = [_webhook(contact)]
    if contact.mail:
        receiver["email_configs"] = [
            {
                "to": address,
                "send_resolved": True,
                "headers": {"Subject": _SUBJECT},
                "html": "",
                "text": _TEXT,
                # of each receiver: Alertmanager 0.25 has no such setting for all
                **({"tls_config": {"ca_file": path_of(server.ca)}} if server and server.ca else {}),
            }
            for address in contact.mail
        ]
    return receiver


def _webhook(contact: Contact) -> dict[str, Any]:
    webhook: dict[str, Any] = {"url": contact.webhook, "send_resolved": True}
    http: dict[str, Any] = {}
    if contact.webhook_ca:
        http["tls_config"] = {"ca_file": path_of(contact.webhook_ca)}
    if contact.webhook_token_file:
        http["authorization"] = {"credentials_file": path_of(contact.webhook_token_file)}
    return webhook | {"http_config": http} if http else webhook


_SUBJECT = (
    '{{ if eq .Status "firing" }}【告警】{{ else }}【恢复】{{ end }}'
    "{{ .CommonLabels.alertname }} 共{{ len .Alerts }}项"
)
_TEXT = """{{ range .Alerts }}{{ if eq .Status "firing" }}【告警】{{ else }}【恢复】{{ end }}{{ .Annotations.summary }}
级别：{{ .Labels.severity }}　责任单位：{{ or .Labels.owner_name .Labels.owner }}
开始：{{ .StartsAt.Local.Format "2006-01-02 15:04:05" }}
{{ .Annotations.description }}
处置：{{ .Annotations.action }}
手册：{{ .Annotations.runbook_url }}

{{ end }}"""
