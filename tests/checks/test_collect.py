"""Does the collector tell the truth and no secret, and does the audit survive hosts in trouble? Over real SSH."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from checks.record import Status
from checks.security.controls import load_controls
from checks.security.facts import Facts
from checks.security.run import NotCollected, audit, collect
from checks.security.stream import StreamError, collector_digest, collector_of, parse
from checks.ssh import SecureShell, SshError, shell_of
from inventories.records import City, Node, NodeRole

from .city import tiny_city
from .ssh_server import Keys, make_key, ssh_server

COLLECTOR = Path(__file__).parents[2] / "checks" / "security" / "collect.sh"
#: This machine's package lists may be those of all Debian, which take apt seconds to read: here there are none.
NO_LISTS = f"mount -t tmpfs none /var/lib/apt/lists; exec sh '{COLLECTOR}'"
QUICK = ["unshare", "--map-root-user", "--mount", "sh", "-c", NO_LISTS]


@pytest.fixture(scope="module")
def here() -> str:
    """What the collector prints on this machine."""
    return collected("")


def collected(request: str, programs: Path | None = None) -> str:
    """What the collector prints on this machine when it is asked for something; `programs` go before this machine's."""
    script = COLLECTOR.read_text(encoding="utf-8")
    if programs:
        assert " PATH=/usr/sbin:" in script
        script = script.replace(" PATH=/usr/sbin:", f" PATH={programs}:/usr/sbin:")
    done = subprocess.run(
        ["sh", "-c", script, str(COLLECTOR)],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
        input=request,
    )
    assert done.stderr == ""
    return done.stdout


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A ping that answers for 192.0.2.1 alone and notes what it is called with: this machine may have none."""
    folder = tmp_path / "programs"
    folder.mkdir()
    ping = folder / "ping"
    ping.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$*" >>{tmp_path}/pings\nfor last; do :; done\n[ "$last" = 192.0.2.1 ]\n',
        encoding="ascii",
    )
    ping.chmod(0o755)
    return folder


def test_the_collector_prints_a_whole_stream_and_its_own_digest(here: str) -> None:
    capture = parse(here)
    assert collector_of(capture) == collector_digest()
    read = {section for control in load_controls() for section in control.reads}
    assert read | {"backup-states", "collector"} <= set(capture)
    facts = Facts(capture, NodeRole.CLOUD)
    assert facts.identity["hostname"] == os.uname().nodename
    assert abs(int(facts.identity["time"]) - time.time()) < 60
    names = {line.split(":")[0] for line in Path("/etc/passwd").read_text(encoding="utf-8").splitlines()}
    assert {line.split(":")[0] for line in capture["passwd"].lines} == names


def test_the_collector_prints_what_it_is_asked_for(here: str, programs: Path) -> None:
    """The extranet's facts alone cost no list of packages; what is no word of the collector is passed over."""
    audited = parse(collected("extranet\nreach 192.0.2.1\nreach 2001:db8::1 lan0\n", programs))
    assert "extranet-reach" not in parse(here)
    assert "packages" not in audited
    assert set(audited["extranet-reach"].lines) == {"192.0.2.1 - answered", "2001:db8::1 lan0 silent"}
    assert sorted((programs.parent / "pings").read_text(encoding="ascii").splitlines()) == [
        "-n -q -c 1 -W 1 -I lan0 2001:db8::1",
        "-n -q -c 1 -W 1 -I lan0 2001:db8::1",
        "-n -q -c 1 -W 1 192.0.2.1",
    ]
    routes = json.loads("\n".join(audited["routes-ipv4"].lines))
    shown = subprocess.run(["ip", "-4", "route"], capture_output=True, text=True, check=True).stdout
    assert len(routes) == len([line for line in shown.splitlines() if not line.startswith((" ", "\t"))])
    both = parse(collected("security\nextranet\n"))
    assert {"packages", "routes-ipv6"} <= set(both)
    alone = parse(collected("backup\n"))
    assert {"backup-states", "database-states", "repository-states"} <= set(alone)
    assert not {"packages", "routes-ipv6"} & set(alone)
    assert set(parse(collected("backup\nsecurity\n"))) == set(parse(here))
    assert set(parse(collected("everything\n"))) == set(parse(here))


def test_the_collector_prints_the_state_of_every_repository_that_is_held(tmp_path: Path) -> None:
    held, states = tmp_path / "etc/jizuo/repository/held", tmp_path / "var/lib/jizuo/repository"
    held.mkdir(parents=True)
    states.mkdir(parents=True)
    for name in ("a-gov", "b-gov", "c-gov"):
        (held / f"{name}.json").write_text("{}", encoding="ascii")
        os.utime(held / f"{name}.json", (1_700_000_000, 1_700_000_000))
    (states / "a-gov.json").write_text('{\n "version": 1\n}\n', encoding="ascii")
    # The account of the maintenance owns the folder: it gets nothing printed that it may not read itself.
    secret = tmp_path / "shadow"
    secret.write_text("secret", encoding="ascii")
    (states / "b-gov.json").symlink_to(secret)
    (states / "gone-gov.json").write_text("{}", encoding="ascii")
    script = COLLECTOR.read_text(encoding="utf-8")
    for folder in ("/etc/jizuo/repository", "/var/lib/jizuo/repository"):
        assert f"{folder}/" in script
        script = script.replace(f"{folder}/", f"{tmp_path}{folder}/")
    done = subprocess.run(
        ["sh", "-c", script], input="backup\n", capture_output=True, text=True, timeout=300, check=True
    )
    assert parse(done.stdout)["repository-states"].lines == (
        'a-gov.json\t{ "version": 1}',
        "b-gov.held\t1700000000",
        "c-gov.held\t1700000000",
    )


REFUSED = """reach 127.0.0.1;touch TRAP
reach $(touch TRAP)
reach 127.0.0.1 `touch TRAP`
reach -f 127.0.0.1
reach 127.0.0.1 -f
extranet; touch TRAP
reach 127.0.0.1 lo lo
reach '127.0.0.1'
reach 127.0.0.1\t-f
 reach 127.0.0.1
reach example.org
"""


def test_a_request_is_no_command(programs: Path) -> None:
    trap = programs.parent / "trap"
    capture = parse(collected(f"extranet\n{REFUSED.replace('TRAP', str(trap))}", programs))
    assert not trap.exists()
    assert not (programs.parent / "pings").exists()
    assert capture["extranet-reach"].lines == ()


def test_a_request_without_an_end_is_not_waited_for() -> None:
    with subprocess.Popen(
        ["sh", str(COLLECTOR)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            text = process.stdout.read()  # and standard input stays open
            assert "identity" in parse(text)
            assert process.wait(10) == 0
        finally:
            process.kill()


def test_the_collector_sees_sockets_of_both_families(here: str) -> None:
    with (
        socket.create_server(("0.0.0.0", 0)) as four,
        socket.create_server(("::", 0), family=socket.AF_INET6) as six,
    ):
        done = subprocess.run(QUICK, capture_output=True, text=True, timeout=300, check=True)
        facts = Facts(parse(done.stdout), NodeRole.CLOUD)
        found = {(listener.family.value, listener.port) for listener in facts.listeners}
        assert ("ipv4", four.getsockname()[1]) in found
        assert ("ipv6", six.getsockname()[1]) in found


@pytest.mark.skipif(os.geteuid() != 0, reason="reads /etc/shadow, which needs root")
def test_the_collector_prints_no_secret(tmp_path: Path) -> None:
    """In a mount namespace whose shadow file has hashes of every kind, and whose account has a key."""
    etc = tmp_path / "etc"
    shutil.copytree("/etc", etc, symlinks=True, ignore_dangling_symlinks=True)
    hashes = [
        "$y$j9T$secretsecret$secret1",
        "$6$secretsalt$secret2",
        "!$6$secretlocked$secret3",
        "secretDEShash",
    ]
    passwd = [f"user{n}:x:{3000 + n}:{3000 + n}::{tmp_path}/user{n}:/bin/sh" for n in range(len(hashes))]
    shadow = [f"user{n}:{value}:20000:0:90:7:::" for n, value in enumerate(hashes)] + ["open::20000::::::"]
    (etc / "passwd").write_text("\n".join(["root:x:0:0::/root:/bin/sh", *passwd, ""]), encoding="ascii")
    (etc / "shadow").write_text("\n".join([*shadow, ""]), encoding="ascii")
    keys = tmp_path / "user0" / ".ssh"
    keys.mkdir(parents=True)
    key = make_key(tmp_path / "key")
    (keys / "authorized_keys").write_text(f"{key.public}\n", encoding="ascii")
    script = 'mount --bind "$1" /etc && mount -t tmpfs none /var/lib/apt/lists && exec sh "$2"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script, "sh", str(etc), str(COLLECTOR)],
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert "secret" not in done.stdout
    assert key.public.split()[1] not in done.stdout
    facts = Facts(parse(done.stdout), NodeRole.CLOUD)
    passwords = {account.name: account.password for account in facts.accounts}
    assert passwords == {
        "root": "locked",
        "user0": "password",
        "user1": "password",
        "user2": "locked",
        "user3": "password",
    }
    fingerprint = subprocess.run(
        ["ssh-keygen", "-lf", str(keys / "authorized_keys")], capture_output=True, text=True, check=True
    ).stdout.split()[1]
    assert facts.accounts[1].keys == (fingerprint,)


def test_the_collector_writes_nothing() -> None:
    """With every file system read-only but a scratch /tmp, which is left empty, it says all that it says."""
    script = (
        "mount --rbind / / && mount -t tmpfs none /tmp && mount -o remount,bind,ro / &&"
        ' sh -c "$COLLECTOR" && ls -A /tmp'
    )
    # What is shown is that nothing is written; a machine with much other work may take its time.
    collector = COLLECTOR.read_text(encoding="utf-8").replace("timeout 20 ", "timeout 150 ")
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", "sh", "-ec", script],
        capture_output=True,
        input="security\nextranet\nreach 127.0.0.1\n",
        env={**os.environ, "COLLECTOR": collector},
        text=True,
        timeout=180,
        check=False,
    )
    if "mount:" in done.stderr:
        pytest.skip(f"this machine lets nobody remount in a namespace: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("\n.\n"), "something was left in /tmp"
    assert "Read-only file system" not in done.stdout + done.stderr
    assert parse(done.stdout)["updates"].status == 0


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda text: "", "line 1: 'nothing'"),
        (lambda text: text[: len(text) // 2], "cut off after line"),
        (lambda text: text.removesuffix(".\n"), "cut off after line"),
        (lambda text: text.replace("jizuo-collect 1", "jizuo-collect 2", 1), "line 1: 'jizuo-collect 2'"),
        (lambda text: text.replace("@identity\n", "@identity\nstray\n", 1), "unexpected 'stray'"),
        (lambda text: f"{text}more\n", "unexpected"),
    ],
    ids=["empty", "half", "no end", "another format", "a stray line", "something after the end"],
)
def test_a_damaged_stream_is_refused(damage: object, complaint: str, here: str) -> None:
    with pytest.raises(StreamError, match=complaint):
        parse(damage(here))  # type: ignore[operator]


def test_text_cannot_look_like_a_section() -> None:
    stream = "jizuo-collect 1\n@passwd\n @shadow\n =0\n .\n=0\n.\n"
    assert parse(stream) == {
        "passwd": parse("jizuo-collect 1\n@passwd\n @shadow\n =0\n .\n=0\n.\n")["passwd"]
    }
    assert parse(stream)["passwd"].lines == ("@shadow", "=0", ".")


class Hosts:
    """An ssh_config with hosts well and in trouble."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.audit = make_key(folder / "audit")
        self.stranger = make_key(folder / "stranger")
        self.host_key = make_key(folder / "host")
        self.other_host_key = make_key(folder / "other")
        self.config = folder / "ssh_config"
        self.known = folder / "known_hosts"
        self.blocks: list[str] = []
        self.pins: list[str] = []

    def add(self, name: str, port: int, pinned: Keys | None) -> None:
        self.blocks.append(f"Host {name}\n HostName 127.0.0.1\n Port {port}\n HostKeyAlias {name}\n")
        if pinned:
            self.pins.append(f"{name} {pinned.public}\n")
        end = f"Host *\n User audit\n UserKnownHostsFile {self.known}\n GlobalKnownHostsFile /dev/null\n"
        self.config.write_text("".join([*self.blocks, end]), encoding="ascii")
        self.known.write_text("".join(self.pins), encoding="ascii")

    def shell(self, **fields: object) -> SecureShell:
        return SecureShell(self.config, "audit", self.audit.path, **fields)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """good, altered, cut-off, failing, refused, silent, changed (host key), unpinned, denied, gone."""
    folder = tmp_path_factory.mktemp("hosts")
    hosts = Hosts(folder)
    altered = folder / "altered.sh"
    altered.write_text(COLLECTOR.read_text(encoding="utf-8") + "# helpful change\n", encoding="utf-8")
    key, audit_key = hosts.host_key, hosts.audit
    with (
        ssh_server(key, audit_key, QUICK) as good,
        ssh_server(
            key, audit_key, [*QUICK[:-1], NO_LISTS.replace(str(COLLECTOR), str(altered))]
        ) as changed_collector,
        ssh_server(key, audit_key, [*QUICK[:-1], f"{NO_LISTS} | head -50"]) as cut_off,
        ssh_server(
            key, audit_key, ["sh", "-c", "echo 'sudo: a password is required' >&2; exit 1"]
        ) as failing,
        ssh_server(key, hosts.stranger, QUICK) as denied,
        socket.create_server(("127.0.0.1", 0)) as silent,
        socket.create_server(("127.0.0.1", 0)) as closing,
    ):
        refused = closing.getsockname()[1]
        closing.close()
        for name, port, pinned in (
            ("good", good, key),
            ("altered", changed_collector, key),
            ("cut-off", cut_off, key),
            ("failing", failing, key),
            ("refused", refused, key),
            ("silent", silent.getsockname()[1], key),
            ("changed", good, hosts.other_host_key),
            ("unpinned", good, None),
            ("denied", denied, key),
        ):
            hosts.add(name, port, pinned)
        yield hosts


REASONS = {
    "altered": ("collector_altered", "find out who changed it"),
    "cut-off": ("stream", "cut off"),
    "failing": ("collector_failed", "a password is required"),
    "refused": ("refused", "start sshd on it"),
    "silent": ("timeout", "see whether it runs"),
    "changed": ("host_key", "find out why before you pin another"),
    "unpinned": ("host_key", "find out why before you pin another"),
    "denied": ("denied", "deploy the base role"),
}


def test_hosts_in_trouble_are_told_apart_and_the_others_answer(hosts: Hosts) -> None:
    started = time.monotonic()
    names = ["good", *REASONS, "good"]
    found = asyncio.run(collect(names, hosts.shell(connect_timeout=3, timeout=30)))
    assert time.monotonic() - started < 30
    assert "identity" in found["good"]  # type: ignore[operator]
    for name, (reason, way_out) in REASONS.items():
        problem = found[name]
        assert isinstance(problem, NotCollected), name
        assert (problem.reason, problem.evidence.startswith(f"{name}: ")) == (reason, True), problem
        assert way_out in problem.evidence


def test_a_host_that_never_ends_is_cut_off_and_its_ssh_is_gone(hosts: Hosts, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    forced = ["sh", "-c", f"touch '{mark}'; sleep 20"]
    with ssh_server(hosts.host_key, hosts.audit, forced) as port:
        hosts.add("endless", port, hosts.host_key)
        started = time.monotonic()
        with pytest.raises(SshError, match=r"endless: no end within 1\.5 s") as caught:
            asyncio.run(hosts.shell(timeout=1.5).run("endless"))
        assert time.monotonic() - started < 6
        assert caught.value.reason == "timeout"
        assert mark.exists(), "the command had begun"
        listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
        assert f"{hosts.config} -T" not in "\n".join(
            line for line in listed.splitlines() if "endless" in line
        )


def test_audit_gives_every_control_of_every_host_a_record(hosts: Hosts) -> None:
    city = tiny_city(nodes=[Node(id=name, site="core", role=NodeRole.CLOUD) for name in ("good", "refused")])
    records = asyncio.run(audit(city, hosts.shell(connect_timeout=3)))
    series = {(record.subject, record.check, record.family) for record in records}
    per_host = sum(2 if control.families else 1 for control in load_controls())
    assert len(series) == len(records) == 2 * per_host
    refused = [record for record in records if record.subject == "refused"]
    assert {(record.status, record.reason) for record in refused} == {(Status.ERROR, "refused")}
    good = [record for record in records if record.subject == "good"]
    assert any(record.status is not Status.ERROR for record in good)


def test_a_command_is_passed_on_and_its_exit_status_comes_back(hosts: Hosts) -> None:
    with ssh_server(hosts.host_key, hosts.audit, ["sh", "-c", "COMMAND"]) as port:
        hosts.add("shell", port, hosts.host_key)
        done = asyncio.run(hosts.shell().run("shell", "echo $((6 * 7)); echo trouble >&2; exit 3"))
    assert (done.status, done.stdout, done.stderr) == (3, "42\n", "trouble")


def test_a_host_name_is_never_an_option(hosts: Hosts, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    with pytest.raises(SshError):
        asyncio.run(hosts.shell().run(f"-oProxyCommand=touch {trap}", "good"))
    assert not trap.exists()


def test_state_folder_has_a_key_of_the_account(tmp_path: Path) -> None:
    assert shell_of(tmp_path, "audit").key is None
    (tmp_path / "ssh").mkdir()
    (tmp_path / "ssh" / "audit").touch()
    assert shell_of(tmp_path, "audit").key == tmp_path / "ssh" / "audit"
    assert shell_of(tmp_path).account == ""


def test_the_city_of_these_tests_is_a_city() -> None:
    assert isinstance(tiny_city(), City)
