"""How does one talk to a router's command line? A line, an answer, and an end to every wait.

netmiko's drivers log in (SSH, key, strict host keys), learn the prompt and turn paging off; what is said then is read
here, because a push has to see more than a prompt: the device's own refusal, a question that nobody foresaw, a
connection that is gone, silence. Each of them is an error of its own, within :data:`PATIENCE` seconds.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import paramiko
from netmiko import ConnectHandler
from netmiko.exceptions import NetmikoAuthenticationException, NetmikoBaseException, NetmikoTimeoutException

from deploy.vendors.dialects import Dialect
from deploy.vendors.difference import masked

#: Seconds that a device may be silent.
PATIENCE = 20.0
#: How many times as long the whole configuration, a commit and a save may take.
LONG = 6


class DeviceError(Exception):
    """Talking to a device ended; the message says at what and with which words of the device."""


class RefusedError(DeviceError):
    """The device does not take a line."""


class UnexpectedError(DeviceError):
    """The device asks what this kit has no answer for."""


class LostError(DeviceError):
    """The connection is gone, or the device is silent."""


class Target(NamedTuple):
    """Where a device is, and how one logs in to it."""

    node: str
    address: str
    port: int
    user: str
    key: Path
    known_hosts: Path


def target_of(node: str, address: str, state: Path) -> Target:
    """The SSH settings of a router: the state folder's key and known hosts, and a port from its ssh_config if any."""
    port = 22
    if (state / "ssh_config").is_file():
        port = int(paramiko.SSHConfig.from_path(str(state / "ssh_config")).lookup(address).get("port", port))
    return Target(node, address, port, "deploy", state / "ssh" / "deploy", state / "known_hosts")


#: The end of an answer: a prompt, `<name>` or `[name-view]`, with VRP8's mark of what is not committed.
_PROMPT = re.compile(r"(?:^|[\r\n])[<\[][~*]?[A-Za-z0-9][^\r\n<>\[\]]*[>\]] ?\Z")
#: The end of a question.
_QUESTION = re.compile(
    r"(?:\[[Yy](?:es|\(yes\))?/[^\]\r\n]*\]|\([Yy](?:es)?/[^)\r\n]*\)|[Pp]assword|[Nn]ame|\?)\s*:?\s*\Z"
)
#: A question may come in pieces; after this many seconds without another it is whole.
_SETTLED = 0.3
_MORE = re.compile(r"-{2,}\s*[Mm]ore\s*-{2,}\s*\Z")
#: How the two vendors begin the words of a refusal; a caret below the line stands before them.
_REFUSAL = re.compile(r"^\s*(?:Error:|%|Failed to|Error\b)[^\r\n]*", re.MULTILINE)


class Dialogue:
    """An open session with one device; a context manager that closes it whatever happens."""

    def __init__(self, target: Target, dialect: Dialect, patience: float = PATIENCE) -> None:
        """Log in.

        Raises:
            LostError: the device cannot be reached, shows another host key, refuses the key, or says nothing.
        """
        self.target = target
        self.dialect = dialect
        self.patience = patience
        try:
            self._connection: Any = ConnectHandler(
                device_type=dialect.driver,
                host=target.address,
                port=target.port,
                username=target.user,
                use_keys=True,
                key_file=str(target.key),
                allow_agent=False,
                ssh_strict=True,
                system_host_keys=False,
                alt_host_keys=True,
                alt_key_file=str(target.known_hosts),
                conn_timeout=patience,
                auth_timeout=patience,
                banner_timeout=patience,
                blocking_timeout=patience,
                read_timeout_override=patience,
            )
        except (
            paramiko.SSHException,
            NetmikoTimeoutException,
            NetmikoAuthenticationException,
            NetmikoBaseException,
            OSError,
            EOFError,
            ValueError,
        ) as error:
            raise LostError(f"login at {target.address}, port {target.port}: {_why(error)}") from error
        # The driver would take out the codes with which a device wipes the end of a page, and leave the blanks.
        self._connection.ansi_escape_codes = False

    def __enter__(self) -> Dialogue:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; what was not committed is the device's to forget."""
        # Netmiko's own way out would send commands into a session that may be waiting for an answer.
        self._connection.paramiko_cleanup()

    def say(self, line: str, *, is_long: bool = False) -> str:
        """Send a line and return the device's words; `is_long` for what takes a device its time.

        Raises:
            RefusedError: the words say that the device does not take it.
            UnexpectedError: it asks something that no answer is known for.
            LostError: it says nothing more, or hangs up.
        """
        words = self._exchange(line, self.patience * (LONG if is_long else 1))
        if refusal := _REFUSAL.search(words):
            raise RefusedError(f"{masked(line)!r}: {_words(words[refusal.start() :])}")
        return words

    def read_configuration(self) -> str:
        """The running configuration as the device displays it, from the user view."""
        words = self.say("display current-configuration", is_long=True)
        if "sysname" not in words:
            raise UnexpectedError(f"'display current-configuration' shows no configuration: {_words(words)}")
        return words

    def _exchange(self, line: str, patience: float) -> str:
        """Send a line, answer the questions that are known, and return all that came before the next prompt."""
        said = ""
        to_send = line + "\n"
        for _ in range(8):
            self._send(to_send, line)
            said += self._receive(line, patience)
            if _PROMPT.search(said) and not _QUESTION.search(said):
                return _without_echo(said, line)
            question = said.rstrip().rsplit("\n", 1)[-1].strip()
            answer = next((a for pattern, a in self.dialect.answers if re.search(pattern, question)), "")
            if not answer:
                raise UnexpectedError(f"{masked(line)!r}: the device asks {question!r}")
            to_send = answer + "\n"
        raise UnexpectedError(f"{masked(line)!r}: the device asks again and again: {_words(said)}")

    def _send(self, text: str, line: str) -> None:
        try:
            self._connection.write_channel(text)
        except (OSError, EOFError, NetmikoBaseException, paramiko.SSHException) as error:
            raise LostError(f"{masked(line)!r}: the connection is gone ({_why(error)})") from error

    def _receive(self, line: str, patience: float) -> str:
        """What the device says until it waits for somebody; silence for `patience` seconds ends it."""
        said = ""
        last = time.monotonic()
        while (quiet := time.monotonic() - last) < patience:
            if more := self._read(line):
                said, last = said + more, time.monotonic()
                tail = _as_seen(said[-_TAIL:])
                if _MORE.search(tail):
                    self._send(" ", line)
                elif _PROMPT.search(tail) and not _QUESTION.search(tail):
                    return _as_seen(said)
            elif quiet > _SETTLED and _QUESTION.search(_as_seen(said[-_TAIL:])):
                return _as_seen(said)
            elif self._connection.remote_conn.closed or self._connection.remote_conn.eof_received:
                raise LostError(f"{masked(line)!r}: the device closed the connection{_after(said)}")
            else:
                time.sleep(0.01)
        raise LostError(f"{masked(line)!r}: the device is silent for {patience:.0f} s{_after(said)}")

    def _read(self, line: str) -> str:
        try:
            return str(self._connection.read_channel())
        except (OSError, EOFError, NetmikoBaseException, paramiko.SSHException) as error:
            raise LostError(f"{masked(line)!r}: the connection is gone ({_why(error)})") from error


def _after(said: str) -> str:
    return f"; its last words: {_words(said)}" if said.strip() else ""


#: What a terminal does not print: control sequences (ECMA-48) other than the cursor's way to the left.
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-CE-Za-z]|\x1b[()][A-Z0-9]|[\x00\x07]")
_LEFT = re.compile(r"\x1b\[(\d*)D|[\x08\r]")
#: So many characters at the end of what was said are looked at for a prompt.
_TAIL = 600


def _as_seen(said: str) -> str:
    """What a terminal shows: a device wipes its `---- More ----` by going back over it."""
    lines = _CONTROL.sub("", said).replace("\r\n", "\n").split("\n")
    return "\n".join(line if not _LEFT.search(line) else _overwritten(line) for line in lines)


def _overwritten(line: str) -> str:
    shown: list[str] = []
    cursor = 0
    while line:
        move = _LEFT.search(line)
        text = line[: move.start()] if move else line
        shown[cursor : cursor + len(text)] = text
        cursor += len(text)
        if move is None:
            break
        steps = {"\r": cursor, "\x08": 1}.get(move[0], int(move[1] or 1) if move[0][0] == "\x1b" else 0)
        cursor = max(0, cursor - steps)
        line = line[move.end() :]
    return "".join(shown).rstrip()


def _without_echo(said: str, line: str) -> str:
    text = said
    first, _, rest = text.partition("\n")
    body = rest if line.strip() and line.strip() in first else text
    return body.rpartition("\n")[0]


def _words(text: str) -> str:
    """The device's own words in one line."""
    lines = [line.strip() for line in text.splitlines() if line.strip(" ^\t\r")]
    return masked(" ".join(lines))[:400]


def _why(error: BaseException) -> str:
    """The line of an error that says most."""
    text = str(error)
    if "not found in known_hosts" in text or ("Server" in text and "not found" in text):
        return "its host key is not in known_hosts; pin it there before the first connection"
    if "Host key for server" in text:
        return "it shows another host key than the one pinned in known_hosts"
    if isinstance(error, paramiko.AuthenticationException):
        return "it does not take the deploy key"
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0][:200] if lines else type(error).__name__
