"""Hosts of pyinfra's connector `@fake` that remember what deploys sent, and answer facts from that memory.

The hosts run nothing: what a script does on a real host is the lab's to show. What is shown here is what a
deploy sends to a new host, that it sends nothing to a host that has it, and how many commands that takes.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from pyinfra.api import Config, Inventory, State
from pyinfra.api.connect import connect_all
from pyinfra.api.deploy import add_deploy
from pyinfra.api.operations import run_ops
from pyinfra.connectors.fake import FakeConnector
from pyinfra.connectors.util import CommandOutput, OutputLine

import deploy.hoststate.files as files_module
from deploy.hoststate.files import File
from deploy.lab.keys import ACCOUNTS, ensure_key
from deploy.operations.wheelhouse import Wheel, Wheelhouse
from deploy.pyinfra_inventory import pyinfra_groups

LAB = Path(__file__).resolve().parents[2] / "inventories" / "lab"

#: Answers a fact's command with its output lines, or None when it is another fact's command.
Answer = Callable[[str], list[str] | None]


class FakeCity:
    """The lab's hosts; `files` is every file that deploys sent, by host and path.

    Attributes:
        sent: What each host got in the last run: commands that are not facts, scripts and uploads.
        asked: How many fact commands each host answered in the last run.
        history: Commands and scripts of all runs.
        loaded: Digest of the firewall's table in every kernel; 5f is that of the rules that were deployed.
    """

    def __init__(self, state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("JIZUO_STATE", str(state))
        for account in ACCOUNTS:
            ensure_key(state / "ssh" / account, account)
        (state / "known_hosts").write_text("ops-1 ssh-ed25519 AAAA\n")
        self.answers: list[Answer] = [self._file_states, self._installed, self._unit_states, self._rules]
        self.files: dict[str, dict[str, File]] = {}
        self.new = True
        self.loaded = "5f"
        self.sent: dict[str, list[str]] = {}
        self.asked: dict[str, int] = {}
        self.history: list[str] = []
        self._current = ""
        self._planned: dict[str, list[File]] = {}
        self._watch(monkeypatch)

    def _watch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        city, apply_script = self, files_module.apply_script

        def remember(wanted: Any, changed: Any, *rest: Any, **options: Any) -> str:
            script = apply_script(wanted, changed, *rest, **options)
            city._planned[script] = list(wanted)
            return script

        def run_shell_command(
            connector: FakeConnector, command: Any, **arguments: Any
        ) -> tuple[bool, CommandOutput]:
            name, text = connector.host.name, str(command)
            city._current = name
            for answer in city.answers:
                if (lines := answer(text)) is not None:
                    city.asked[name] = city.asked.get(name, 0) + 1
                    return True, CommandOutput([OutputLine("stdout", line) for line in lines])
            if script := arguments.get("_stdin"):
                known = city.files.setdefault(name, {})
                known.update({file.path: file for file in city._planned.get(script, ())})
                text += f"\n{script}"
            city.sent.setdefault(name, []).append(text)
            city.history.append(text)
            return True, CommandOutput([])

        def put_file(connector: FakeConnector, source: Any, target: str, *_: Any, **__: Any) -> bool:
            size = len(source.read()) if hasattr(source, "read") else Path(source).stat().st_size
            city.sent.setdefault(connector.host.name, []).append(f"upload {target} {size}")
            return True

        monkeypatch.setattr(files_module, "apply_script", remember)
        # The hosts are nowhere: that SSH still answers is the lab's to show.
        monkeypatch.setattr(files_module, "must_answer", lambda addresses: None)
        monkeypatch.setattr(FakeConnector, "run_shell_command", run_shell_command)
        monkeypatch.setattr(FakeConnector, "put_file", put_file)

    def run(self, deploy: Callable[[], None], *names: str, inventory: Path = LAB) -> Mapping[str, list[str]]:
        """Deploy to the named hosts and return what was sent to each; raises when a host failed."""
        self.sent, self.asked = {}, {}
        data = {
            name: {**values, "fake_delay": 0, "fake_delay_jitter": 0}
            for hosts in pyinfra_groups(inventory).values()
            for name, values in hosts
        }
        hosts = [(f"@fake/{name}", data[name]) for name in names]
        state = State(Inventory((hosts, {})), Config())
        connect_all(state)
        add_deploy(state, deploy)
        run_ops(state)
        assert not state.failed_hosts
        self.new = False
        return self.sent

    def wheelhouse(self, folder: Path) -> Wheelhouse:
        """A kit of one wheel, made in a folder; hosts have it once a deploy has installed it."""
        wheel = folder / "jizuo-0.1.0-py3-none-any.whl"
        wheel.write_bytes(b"wheel")
        made = Wheelhouse((Wheel("jizuo", "0.1.0", wheel.name, "ab" * 32),), {wheel.name: wheel})

        def release(command: str) -> list[str] | None:
            if command.startswith("test -x /opt/jizuo/bin/jizuo"):
                return [] if self.new else [made.release]
            return [] if "sha256sum -- *.whl" in command else None

        self.answers.append(release)
        return made

    def _file_states(self, command: str) -> list[str] | None:
        match = re.fullmatch(r"for path in (.*?); do if \[ -e .*jizuo-old.*", command)
        if match is None:
            return None
        known = self.files.get(self._current, {})
        lines = []
        paths = [
            name
            for path in shlex.split(match[1])
            for name in ([one for one in known if PurePosixPath(one).match(path)] if "*" in path else [path])
        ]
        for path in dict.fromkeys(paths):
            state = known[path].state if path in known and not self.new else "absent"
            lines.append(f"absent {path}" if state == "absent" else f"{state} {path}")
        return lines

    def _installed(self, command: str) -> list[str] | None:
        match = re.fullmatch(r"for name in (.*?); do case .*dpkg-query.*", command)
        if match is None:
            return None
        return shlex.split(match[1]) if self.new else []

    def _unit_states(self, command: str) -> list[str] | None:
        match = re.fullmatch(r"for unit in (.*?); do for try .*", command)
        if match is None:
            return None
        state = "inactive disabled" if self.new else "active enabled"
        return [f"{unit} {state}" for unit in shlex.split(match[1])]

    def _rules(self, command: str) -> list[str] | None:
        if "nft -s list table inet jizuo" not in command:
            return None
        rules = self.files.get(self._current, {}).get("/etc/nftables.conf")
        if rules is None or self.new:
            return ["loaded none", "kept none"]
        return [f"file {rules.state}", f"loaded {self.loaded}", "kept 5f"]
