"""Two Prometheus see the same, two Alertmanagers are told by both: people are told once, also when one is lost."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import yaml
from netaddr import IPNetwork

from deploy.lab.lab import Lab, controller
from tests.lab.conftest import Execute, read

WATCHING = ("ops-1", "offsite-1")
RULE = "/etc/prometheus/rules/pair-test.yml"
SETTINGS = "/etc/prometheus/alertmanager.yml"
#: How long an Alertmanager gives those before it in the cluster to notify (its option --cluster.peer-timeout), seconds.
PEER_TIMEOUT = 15


class Webhook:
    """On the controller, where both nodes reach it over the management network; keeps what fired."""

    def __init__(self, address: str) -> None:
        self.told: list[str] = []
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                webhook.told += [
                    one["labels"]["alertname"] for one in body["alerts"] if one["status"] == "firing"
                ]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        server_class = type("Server", (ThreadingHTTPServer,), {"address_family": socket.AF_INET6})
        self.server = server_class((address, 0), Handler)
        self.url = f"http://[{address}]:{self.server.server_address[1]}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def webhook(lab: Lab, on: Execute) -> Iterator[Webhook]:
    """Both Alertmanagers notify it of the alerts of this test; taken away again."""
    made = Webhook(controller(IPNetwork(lab.city.layout.management.ipv6)))
    before = {node: on(node, "cat", SETTINGS).stdout for node in WATCHING}
    try:
        for node, text in before.items():
            config = yaml.safe_load(text)
            config["receivers"].append({"name": "pair-test", "webhook_configs": [{"url": made.url}]})
            config["route"]["routes"].insert(
                0, {"receiver": "pair-test", "matchers": ['pair="test"'], "group_wait": "1s"}
            )
            settle(on, node, SETTINGS, yaml.safe_dump(config), "prometheus-alertmanager")
        yield made
    finally:
        for node, text in before.items():
            on(node, "rm", "-f", RULE)
            settle(on, node, SETTINGS, text, "prometheus-alertmanager", "prometheus")
        made.server.shutdown()
        made.server.server_close()


def settle(on: Execute, node: str, path: str, text: str, *units: str) -> None:
    on(node, "sh", "-euc", f"cat >{path}; systemctl reload-or-restart {' '.join(units)}", input=text)


def fire(on: Execute, alert: str) -> None:
    """The alert holds in both Prometheus, with the labels that tell them apart taken off as the kit has it."""
    # It waits until Prometheus has found the Alertmanagers again, which it forgets when it reloads: what fires before
    # that is sent a minute later.
    alert_rule = f"{{alert: {alert}, expr: vector(1), for: 12s, labels: {{severity: critical, pair: test}}}}"
    rule = f"groups: [{{name: pair, interval: 1s, rules: [{alert_rule}]}}]"
    for node in WATCHING:
        settle(on, node, RULE, rule, "prometheus")


def wait(said: str, is_so: Callable[[], bool], seconds: float) -> None:
    """Wait until it is so; a daemon that just starts answers nobody yet."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(OSError):
            if is_so():
                return
        assert time.monotonic() < deadline, f"not so: {said}"
        time.sleep(0.5)


def firing(lab: Lab, node: str, alert: str) -> bool:
    """Whether a node's Alertmanager was told."""
    url = f"https://[{lab.record.hosts[node][1]}]:9093/api/v2/alerts?filter=alertname%3D{alert}"
    return bool(json.loads(read(lab, url)))


def members(lab: Lab, node: str) -> int:
    status = json.loads(read(lab, f"https://[{lab.record.hosts[node][1]}]:9093/api/v2/status"))
    return len(status["cluster"].get("peers", []))


@pytest.mark.parametrize("lost", WATCHING)
def test_an_alert_is_told_once_with_both_and_with_one(
    lab: Lab, on: Execute, webhook: Webhook, lost: str
) -> None:
    (left,) = {*WATCHING} - {lost}
    # Other names for each run: what was told within a day is not told again.
    both_there, one_lost = (f"{word}{time.time():.0f}" for word in ("BothThere", "OneLost"))
    for node in WATCHING:
        wait(f"{node} sees two members", lambda node=node: members(lab, node) == 2, 60)  # type: ignore[misc]
    fire(on, both_there)
    for node in WATCHING:
        wait(f"{node} was told", lambda node=node: firing(lab, node, both_there), 90)  # type: ignore[misc]
    time.sleep(PEER_TIMEOUT + 5)  # by now the second one would have told, too
    assert webhook.told == [both_there]

    # Killed, not stopped: it says good-bye to nobody.
    service = "prometheus-alertmanager"
    on(lost, "sh", "-c", f"systemctl kill -s KILL {service}; systemctl stop {service}")
    try:
        fire(on, one_lost)
        wait("the alert arrives", lambda: one_lost in webhook.told, 120)
    finally:
        on(lost, "systemctl", "start", service)
    wait(f"{lost} was told of it when it came back", lambda: firing(lab, lost, one_lost), 120)
    wait(f"{left} sees it again", lambda: members(lab, left) == 2, 60)
    time.sleep(PEER_TIMEOUT + 5)
    assert sorted(webhook.told) == [both_there, one_lost]
