"""A real Alertmanager with the kit's settings, and receivers that keep what they are told."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import yaml

from exporters.alerting.alertmanager import alertmanager_config
from inventories.contacts import Contacts
from inventories.monitoring import cluster_arguments


class Receiver:
    """A webhook that keeps what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, str]]] = []
        #: What came with each, in the same order: the header Authorization, and the whole alert.
        self.shown: list[tuple[str, dict[str, Any]]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                shown = self.headers.get("Authorization", "")
                receiver.shown += [(shown, alert) for alert in body["alerts"]]
                receiver.told += [(self.path, alert["labels"]) for alert in body["alerts"]]
                self.send_response(200)
                self.end_headers()

            def log_message(self, *arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def names(self, path: str = "/operations") -> list[str]:
        return sorted(labels["alertname"] for to, labels in self.told if to == path)


def program() -> list[str]:
    """The command of Alertmanager. Debian's looks for its templates below /usr/share, wherever it was unpacked itself:
    where they are not there, it gets a view of the file system in which they are.
    """
    found = shutil.which("prometheus-alertmanager")
    assert found, "prometheus-alertmanager is not on the PATH"
    if Path("/usr/share/prometheus/alertmanager/default.tmpl").is_file():
        return [found]
    if os.geteuid() != 0:
        pytest.skip("a view of the file system of its own needs root")
    layers = f"lowerdir={Path(found).resolve().parents[1] / 'share'}:/usr/share"
    mounted = f'mount -t overlay overlay -o {layers} /usr/share && exec "$@"'
    return ["unshare", "--mount", "--", "sh", "-c", mounted, "sh", found]


def _knowing(hosts: Path, names: Mapping[str, str]) -> list[str]:
    """What a command begins with that is to know these names."""
    if os.geteuid() != 0:
        pytest.skip("a hosts file of its own needs root")
    hosts.write_text("".join(f"{address} {name}\n" for name, address in names.items()))
    mounted = 'mount --bind "$1" /etc/hosts && shift && exec "$@"'
    return ["unshare", "--mount", "--", "sh", "-c", mounted, "sh", str(hosts)]


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


class Alertmanager:
    """A real one; its groups wait a second in place of minutes, all else is as the kit writes it."""

    def __init__(self, folder: Path, contacts: Contacts, names: Mapping[str, str] | None = None) -> None:
        """Start it; `names` are the addresses of names that it alone knows (a hosts file of its own)."""
        config = alertmanager_config(contacts)
        _hurry(config["route"])
        (folder / "alertmanager.yml").write_text(yaml.safe_dump(config, allow_unicode=True))
        self.url = f"http://127.0.0.1:{free_port()}"
        command = [
            *(_knowing(folder / "hosts", names) if names else []),
            *program(),
            f"--config.file={folder}/alertmanager.yml",
            f"--storage.path={folder}/data",
            f"--web.listen-address={self.url.removeprefix('http://')}",
            *cluster_arguments({"ops-1": "127.0.0.1"}, "ops-1"),
            "--log.level=error",
        ]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE)
        end = time.monotonic() + 180
        while not self._ready():
            assert time.monotonic() < end and self.process.poll() is None
            time.sleep(0.1)

    def _ready(self) -> bool:
        try:
            with urlopen(f"{self.url}/-/ready", timeout=5) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def post(
        self, *alerts: dict[str, str], annotations: dict[str, str] | None = None, ended: bool = False
    ) -> None:
        """Gives it alerts by their labels, `ended` ones as Prometheus says that they hold no more."""
        more: dict[str, Any] = {"annotations": annotations or {}}
        if ended:
            more["endsAt"] = datetime.now(UTC).isoformat()
        body = json.dumps([{"labels": alert, **more} for alert in alerts]).encode()
        request = Request(f"{self.url}/api/v2/alerts", body, {"Content-Type": "application/json"})
        with urlopen(request, timeout=20) as answer:
            assert answer.status == 200

    def count(self, metric: str, integration: str) -> float:
        """One of its own counters, by integration."""
        with urlopen(f"{self.url}/metrics", timeout=20) as answer:
            text = answer.read().decode()
        found = re.search(rf'^{metric}{{integration="{integration}"}} (.+)$', text, re.M)
        assert found, metric
        return float(found[1])

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate(timeout=300)

    def states(self) -> dict[str, str]:
        with urlopen(f"{self.url}/api/v2/alerts", timeout=20) as answer:
            return {
                " ".join(alert["labels"][name] for name in ("alertname", "family", "place")): alert["status"][
                    "state"
                ]
                for alert in json.loads(answer.read())
            }


def _hurry(route: dict[str, Any]) -> None:
    route |= {"group_wait": "1s", "group_interval": "1s"}
    for below in route.get("routes", []):
        _hurry(below)


def wait_until(condition: Any, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)
