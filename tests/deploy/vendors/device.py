"""An SSH server that behaves as a router of Huawei (VRP8) or H3C (Comware 7) on its command line.

It keeps a real configuration, and refuses what a device refuses: a line that it does not know, a name that is not
there yet, an object that is still used, an address that another port has. It displays what it was told as the
manuals say that devices display it: upper-case IPv6, dotted masks and AS numbers, passwords enciphered. A test tells it
beforehand where to misbehave: drop the connection, fall silent, ask, refuse.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import NamedTuple

import paramiko

Tree = dict[str, "Tree"]

#: What opens a view, and what the prompt shows of it.
VIEWS = (
    (r"interface (\S+)", r"\1"),
    (r"acl (?:ipv6 )?(?:number |basic |advanced )(\d+)", r"acl-\1"),
    (r"traffic (classifier|behavior|policy) (\S+)(?: operator or)?", r"\1-\2"),
    (r"route-policy (\S+) (?:permit|deny) node (\d+)", r"route-policy"),
    (r"bgp (\d+)", "bgp"),
    (r"bfd", "bfd"),
    (r"ipv([46])-family unicast", r"af-ipv\1"),
    (r"address-family ipv([46]) unicast", r"ipv\1"),
)
#: Lines of which only the last stands: the key is what the groups say.
SINGLE = (
    r"(sysname) ",
    r"(description) ",
    r"(router-id) ",
    r"(peer \S+ (?:description|password|timer|route-limit|valid-ttl-hops|ttl-security|as-number)) ",
    r"(peer \S+ route-policy) \S+ (import|export)",
    r"(peer \S+ bfd min-tx-interval) ",
    r"(ip address) ",
    r"(if-match ip(?:v6)?) ",
    r"(ip ip-prefix \S+ index \d+) ",
    r"(ip(?:v6)?(?:-prefix)? (?:ipv6-prefix|prefix-list) \S+ index \d+) ",
    r"(ip ipv6-prefix \S+ index \d+) ",
    r"(ssh (?:ipv6 )?server (?:ipv6 )?acl) ",
    r"(maximum load-balancing ebgp|balance ebgp) ",
    r"(traffic-policy) \S+ (inbound)",
    r"(bfd (?:min-\w+-interval|detect-multiplier)) ",
    r"(aggregate \S+ \S+)",
    r"(import-route direct)",
)
#: Every first word that a device of either vendor knows here.
WORDS = {
    "sysname",
    "acl",
    "rule",
    "description",
    "traffic",
    "if-match",
    "classifier",
    "interface",
    "ipv6",
    "ip",
    "traffic-policy",
    "packet-filter",
    "ssh",
    "route-policy",
    "bgp",
    "bfd",
    "router-id",
    "default",
    "peer",
    "ipv4-family",
    "ipv6-family",
    "address-family",
    "load-balancing",
    "maximum",
    "balance",
    "import-route",
    "network",
    "aggregate",
    "shutdown",
}


class Refusal(Exception):
    """The device does not take a line; the message is what it says."""


class Fault(NamedTuple):
    """Where the device misbehaves: at the `after`-th line that matches, and how."""

    pattern: str
    act: str  # drop, silent, ask or refuse
    words: str = ""


@dataclass
class Device:
    """One router: what it runs, what it keeps for a restart, and where it misbehaves."""

    vendor: str  # vrp or comware
    #: Its hardware, which is there before any configuration.
    ports: tuple[str, ...] = ()
    running: Tree = field(default_factory=dict)
    startup: Tree = field(default_factory=dict)
    #: What it goes back to unless it is told to keep what it runs.
    fallback: Tree | None = None
    faults: list[Fault] = field(default_factory=list)
    #: Every line that it was told, in order.
    told: list[str] = field(default_factory=list)
    #: Passwords that it was given, by peer.
    passwords: dict[str, str] = field(default_factory=dict)
    knows_commit_delay: bool = True
    logins: int = 0
    #: Logins after these are dropped.
    logins_allowed: int = 1_000_000
    #: After this login another hand changes the device, a line at each login.
    changes_after_login: int = 1_000_000
    counter: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def __post_init__(self) -> None:
        if not self.running:
            self.running = {
                f"sysname {'HUAWEI' if self.vendor == 'vrp' else 'H3C'}": {},
                "aaa" if self.vendor == "vrp" else "line vty 0 63": {"authentication-mode scheme": {}},
                "stelnet server enable" if self.vendor == "vrp" else "ssh server enable": {},
            }
            for port in self.ports:
                hardware = "shutdown" if self.vendor == "vrp" else "port link-mode route"
                self.running[f"interface {port}"] = {hardware: {}}

    @property
    def name(self) -> str:
        return next(line.split()[1] for line in self.running if line.startswith("sysname "))

    def expire(self) -> None:
        """The time is over in which a change on trial could have been kept."""
        if self.fallback is not None:
            self.running, self.fallback = self.fallback, None

    def fault(self, line: str) -> Fault | None:
        for fault in self.faults:
            if re.search(fault.pattern, line):
                self.faults.remove(fault)
                return fault
        return None

    def encipher(self, peer: str, how: str, word: str) -> str:
        """The line that is kept of a password: a ciphertext as it is, clear text enciphered anew each time."""
        if word.startswith(("%^%#", "$c$3$")):
            return f"peer {peer} password cipher {word}"
        self.passwords[peer] = word
        number = next(self.counter)
        text = f"%^%#{number:032d}%^%#" if self.vendor == "vrp" else f"$c$3${number:040d}"
        assert how == ("cipher" if self.vendor == "vrp" else "simple")
        return f"peer {peer} password cipher {text}"


class Session:
    """One login: its view, and on VRP its candidate configuration."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.candidate: Tree = {}
        self.changed = False
        self.views: list[str] | None = None  # None: user view
        self.paging = True
        self.question: Callable[[str], str] | None = None

    @property
    def two_phase(self) -> bool:
        return self.device.vendor == "vrp"

    @property
    def tree(self) -> Tree:
        """What lines of a configuration are applied to."""
        return self.candidate if self.two_phase else self.device.running

    def prompt(self) -> str:
        name = self.device.name
        if self.views is None:
            return f"<{name}>"
        mark = ("*" if self.changed else "~") if self.two_phase else ""
        shown = "".join(f"-{_view(text)}" for text in self.views)
        return f"[{mark}{name}{shown}]"

    def run(self, line: str) -> str:
        """Carry out a line; what the device says to it."""
        if self.question is not None:
            answer, self.question = self.question, None
            return answer(line)
        if not line:
            return ""
        self.device.told.append(line)
        try:
            return self._user(line) if self.views is None else self._system(line)
        except Refusal as refusal:
            caret = "       ^\r\n" if "position" in str(refusal) else ""
            return f"{caret}{'Error:' if self.two_phase else '%'} {refusal}"

    def _user(self, line: str) -> str:
        if line in ("screen-length 0 temporary", "screen-length disable"):
            if (line == "screen-length disable") == self.two_phase:
                raise Refusal("Unrecognized command found at '^' position.")
            self.paging = False
        elif line == "system-view":
            self.views, self.candidate = [], copy.deepcopy(self.device.running)
        elif line == "display current-configuration":
            return display(self.device)
        elif line in ("quit", "return"):
            pass
        elif line == "save" and self.two_phase:
            self.question = self._saved
            words = "The current configuration will be written to the device."
            return f"Warning: {words}\r\nAre you sure to continue? [Y/N]:"
        elif line == "save force" and not self.two_phase:
            return self._saved("Y")
        else:
            raise Refusal("Unrecognized command found at '^' position.")
        return ""

    def _saved(self, answer: str) -> str:
        if answer.upper() == "Y":
            self.device.startup = copy.deepcopy(self.device.running)
            return "Info: Save the configuration successfully."
        return ""

    def _system(self, line: str) -> str:
        assert self.views is not None
        if line == "quit":
            if self.views:
                self.views.pop()
                return ""
            return self._leave()
        if line == "return":
            return self._leave()
        if line.startswith(("commit", "abort", "clear configuration")) and self.two_phase:
            return self._commit(line)
        if line.startswith("configuration commit") and not self.two_phase and self.device.knows_commit_delay:
            self.device.fallback = copy.deepcopy(self.device.running) if "delay" in line else None
            return ""
        self._configure(line)
        self.changed = True
        return ""

    def _leave(self) -> str:
        if self.two_phase and self.changed:
            self.question = self._left
            return (
                "Warning: Uncommitted configurations found. Are you sure to commit them before exiting? "
                "[Y(yes)/N(no)/C(cancel)]:"
            )
        self.views = None
        return ""

    def _left(self, answer: str) -> str:
        if answer.upper() == "Y":
            self.device.running = self.candidate
        if answer.upper() in "YN":
            self.views, self.changed = None, False
        return ""

    def _commit(self, line: str) -> str:
        device = self.device
        if line == "clear configuration candidate":
            self.candidate, self.changed, self.views = copy.deepcopy(device.running), False, []
        elif line.startswith("commit trial "):
            device.fallback, device.running = device.running, copy.deepcopy(self.candidate)
            self.changed, self.views = False, []
            return "Committing....done.\r\nInfo: The system enters the trial configuration mode."
        elif line == "commit":
            device.fallback = None
            if self.changed:
                device.running, self.changed = copy.deepcopy(self.candidate), False
        elif line == "abort trial":
            device.expire()
        else:
            raise Refusal("Unrecognized command found at '^' position.")
        return ""

    def _configure(self, line: str) -> None:
        assert self.views is not None
        undone = line.removeprefix("undo ")
        if undone.split()[0] not in WORDS:
            raise Refusal("Unrecognized command found at '^' position.")
        here = self._here(self.views)
        if line in ("undo shutdown", "undo default ipv4-unicast"):
            here[line] = {}
            here.pop("shutdown", None)
        elif line.startswith("undo "):
            self._undo(here, undone)
        else:
            opened = self._view_to_open(line)
            if opened is not None:
                self.views = opened
                self._here(opened)
                return
            self._set(here, line)

    def _here(self, views: list[str]) -> Tree:
        tree = self.tree
        for view in views:
            tree = tree.setdefault(view, {})
        return tree

    def _view_to_open(self, line: str) -> list[str] | None:
        """The views after a line that opens one; from a deeper view a device goes back up to find it."""
        assert self.views is not None
        if not any(re.fullmatch(pattern, line) for pattern, _ in VIEWS):
            return None
        nested = line.startswith(("ipv4-family", "ipv6-family", "address-family"))
        if nested:
            if not self.views or not self.views[0].startswith("bgp "):
                raise Refusal("Unrecognized command found at '^' position.")
            return [self.views[0], line]
        if line == "bfd" and not self.two_phase:
            raise Refusal("Unrecognized command found at '^' position.")
        if line.startswith("bgp ") and any(t.startswith("bgp ") and t != line for t in self.tree):
            raise Refusal("BGP is already running with another AS number.")
        return [line]

    def _set(self, here: Tree, line: str) -> None:
        assert self.views is not None
        top = self.views[0] if self.views else ""
        if not self.views and line.split()[0] in ("peer", "rule", "description", "network", "aggregate"):
            raise Refusal("Unrecognized command found at '^' position.")
        self._check(top, line)
        if match := re.fullmatch(r"peer (\S+) password (cipher|simple) (\S+)", line):
            line = self.device.encipher(match[1], match[2], match[3])
        if line == "shutdown":
            here.pop("undo shutdown", None)
        for pattern in SINGLE:
            if match := re.match(pattern, line):
                for other in [
                    o for o in here if (m := re.match(pattern, o)) and m.groups() == match.groups()
                ]:
                    del here[other]
                break
        if line.startswith("rule ") and any(
            o.split()[1] == line.split()[1] for o in here if o.startswith("rule ")
        ):
            raise Refusal("The rule exists already.")
        here[line] = {}

    def _check(self, top: str, line: str) -> None:
        """Refuse what names an object that is not there, or an address that another port has."""
        words = line.split()
        if words[0] == "peer" and words[2] != "as-number":
            known = any(other.startswith(f"peer {words[1]} as-number ") for other in self.tree[top])
            if not known:
                raise Refusal(f"The peer {words[1]} does not exist.")
        if (
            words[0] == "peer"
            and words[2] == "route-policy"
            and not self._named(rf"route-policy {words[3]} ")
        ):
            raise Refusal(f"The route policy {words[3]} does not exist.")
        if words[0] == "import-route" and not self._named(rf"route-policy {words[3]} "):
            raise Refusal(f"The route policy {words[3]} does not exist.")
        if words[0] == "traffic-policy" and not self._named(rf"traffic policy {words[1]}\Z"):
            raise Refusal(f"The traffic policy {words[1]} does not exist.")
        if words[0] == "packet-filter":
            family = "ipv6 " if words[1] == "ipv6" else ""
            number = words[2] if family else words[1]
            if not self._named(rf"acl {family}(?:basic|advanced) {number}\Z"):
                raise Refusal(f"The ACL {number} does not exist.")
        if words[:2] == ["ipv6", "address"] and self.two_phase and "ipv6 enable" not in self.tree[top]:
            raise Refusal("IPv6 is not enabled on the interface.")
        if words[0] in ("ip", "ipv6") and words[1] == "address":
            for other, lines in self.tree.items():
                if other.startswith("interface ") and other != top and line in lines:
                    raise Refusal(f"The address conflicts with that of {other.split()[1]}.")

    def _named(self, pattern: str) -> bool:
        return any(re.match(pattern, line) for line in self.tree)

    def _undo(self, here: Tree, text: str) -> None:
        words = text.split()
        if words[0] == "peer" and len(words) == 2:
            gone = [other for other in here if other.split()[:2] == words]
            for family in here.values():
                for other in [o for o in family if o.split()[:2] == words]:
                    del family[other]
        elif words[0] == "route-policy":
            gone = [o for o in here if re.fullmatch(rf"route-policy {words[1]} \w+ {' '.join(words[2:])}", o)]
            last = sum(o.startswith(f"route-policy {words[1]} ") for o in here) == len(gone)
            if last and self._used(rf"route-policy {words[1]}\b"):
                raise Refusal(f"The route policy {words[1]} is in use.")
        elif words[0] == "traffic-policy":
            gone = [o for o in here if o.startswith("traffic-policy ") and o.endswith(f" {words[-1]}")]
        else:
            gone = [o for o in here if o == text or o.startswith(f"{text} ")]
            if words[0] == "acl" and self._used(rf"(?:packet-filter|if-match).* {words[-1]}\b"):
                raise Refusal(f"The ACL {words[-1]} is in use.")
        if not gone:
            raise Refusal("There is no such configuration.")
        for other in gone:
            del here[other]

    def _used(self, pattern: str) -> bool:
        return any(re.search(pattern, line) for line in lines_below(self.tree))


def lines_below(tree: Tree) -> Iterator[str]:
    """Every line in views, however deep."""
    for below in tree.values():
        yield from below
        yield from lines_below(below)


def _view(text: str) -> str:
    for pattern, shown in VIEWS:
        if match := re.fullmatch(pattern, text):
            return match.expand(shown)
    raise AssertionError(text)


def display(device: Device) -> str:
    """The running configuration as the vendor's devices show it."""
    version = {
        "vrp": ["!Software Version V800R021C10SPC600"],
        "comware": ["#", " version 7.1.064, Release 0821P18"],
    }
    lines = version[device.vendor]
    for text, below in device.running.items():
        indent = " " if device.vendor == "comware" and not below and _is_single(text) else ""
        lines += ["#", f"{indent}{_as_displayed(device.vendor, text)}"]
        for child, deeper in below.items():
            if deeper:
                lines.append(" #")
            lines.append(f" {_as_displayed(device.vendor, child)}")
            lines += [f"  {_as_displayed(device.vendor, grandchild)}" for grandchild in deeper]
    return "\r\n".join([*lines, "#", "return"])


def _is_single(text: str) -> bool:
    return not any(re.fullmatch(pattern, text) for pattern, _ in VIEWS)


def _as_displayed(vendor: str, line: str) -> str:
    line = re.sub(
        r"\b((?:ip address|network|aggregate|ip route-static) \d+\.\d+\.\d+\.\d+) (\d+)\b",
        lambda m: f"{m[1]} {IPv4Network(f'0.0.0.0/{m[2]}').netmask}",
        line,
    )
    if "description" not in line and "password" not in line:
        line = re.sub(r"\S*:\S*", lambda m: m[0].upper(), line)
    if vendor == "vrp":
        line = re.sub(
            r"\b(bgp|as-number) (\d{6,})", lambda m: f"{m[1]} {int(m[2]) >> 16}.{int(m[2]) & 65535}", line
        )
    return line


class _Account(paramiko.ServerInterface):
    def __init__(self, allowed: paramiko.PKey) -> None:
        self.allowed = allowed
        self.shell = threading.Event()

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        good = key == self.allowed and username == "deploy"
        return paramiko.AUTH_SUCCESSFUL if good else paramiko.AUTH_FAILED

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_pty_request(self, *arguments: object) -> bool:
        return True

    def check_channel_shell_request(self, channel: paramiko.Channel) -> bool:
        self.shell.set()
        return True


@contextlib.contextmanager
def serve(device: Device, address: str, host_key: paramiko.PKey, allowed: paramiko.PKey) -> Iterator[int]:
    """Serve the device on an address of the loopback until the block ends; yields the port."""
    listener = socket.create_server((address, 0))
    transports: list[paramiko.Transport] = []

    def talk(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            transport = paramiko.Transport(connection)
            transports.append(transport)
            transport.add_server_key(host_key)
            account = _Account(allowed)
            transport.start_server(server=account)
            channel = transport.accept(20)
            if channel is None or not account.shell.wait(20):
                return
            device.logins += 1
            _Terminal(device, channel, transport).talk()

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for transport in transports:
            transport.close()


class _Terminal:
    """The line discipline of a login: echo, prompt, pages, and the faults."""

    def __init__(self, device: Device, channel: paramiko.Channel, transport: paramiko.Transport) -> None:
        self.device = device
        self.channel = channel
        self.transport = transport
        self.session = Session(device)

    def talk(self) -> None:
        device = self.device
        if device.logins > device.logins_allowed:
            self.transport.close()
            return
        if device.logins > device.changes_after_login:
            device.running["interface LoopBack0"] = {f"description {device.logins}": {}}
        self.channel.sendall(f"\r\nInfo: welcome.\r\n{self.session.prompt()}".encode())
        waiting = b""
        while data := self.channel.recv(4096):
            waiting += data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            while b"\n" in waiting:
                raw, _, waiting = waiting.partition(b"\n")
                line = raw.decode()
                self.channel.sendall(f"{line}\r\n".encode())
                fault = self.device.fault(line) if line else None
                if fault and self._misbehave(fault):
                    return
                if fault is None:
                    self._answer(self.session.run(line))

    def _answer(self, words: str) -> None:
        if words and self.session.paging:
            lines = words.split("\r\n")
            while len(lines) > 24:
                self.channel.sendall(("\r\n".join(lines[:24]) + "\r\n  ---- More ----").encode())
                self.channel.recv(1)
                self.channel.sendall(b"\x1b[16D                \x1b[16D")
                lines = lines[24:]
            words = "\r\n".join(lines)
        asks = self.session.question is not None
        self.channel.sendall((words if asks else f"{words}\r\n{self.session.prompt()}").encode())

    def _misbehave(self, fault: Fault) -> bool:
        """Do it; whether the login is over with it."""
        if fault.act == "drop":
            self.transport.close()
            return True
        if fault.act == "silent":
            return False
        if fault.act == "ask":
            self.channel.sendall(fault.words.encode())
            return False
        sign = "Error:" if self.device.vendor == "vrp" else "%"
        self.device.told.append(f"refused: {fault.pattern}")
        self.channel.sendall(f"{sign} {fault.words}\r\n{self.session.prompt()}".encode())
        return False
