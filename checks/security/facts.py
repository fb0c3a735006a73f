"""What does a capture say of a host, in types? Each fact is read when a control first asks for it; pure."""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any, NamedTuple

import msgspec

from inventories.records import Family, NodeRole

from .pam import PamLine, read_pam
from .stream import Capture

#: Shells that let nobody in (nologin(8), and what vendors put for accounts of their own).
_NO_SHELLS = frozenset({"nologin", "false", "sync", "shutdown", "halt", ""})


class FactMissing(LookupError):
    """A host did not say what a control asks for; the message names the section and what the host said."""


class Account(msgspec.Struct, frozen=True):
    """An account: passwd(5), shadow(5), its SSH keys' fingerprints; days since 1970, None where not set."""

    name: str
    uid: int
    shell: str
    password: str  # "password", "locked" or "empty"
    changed: int | None
    maximum: int | None
    expires: int | None
    keys: tuple[str, ...]

    @property
    def has_shell(self) -> bool:
        """Whether its shell lets somebody in."""
        return self.shell.rsplit("/", 1)[-1] not in _NO_SHELLS

    @property
    def has_password(self) -> bool:
        """Whether a password, be it an empty one, opens it."""
        return self.password in ("password", "empty")

    @property
    def can_log_in(self) -> bool:
        """Whether somebody can log in to it at all."""
        return self.has_shell and (self.has_password or bool(self.keys))


class Listener(NamedTuple):
    """A listening socket that other hosts can reach."""

    family: Family
    protocol: str
    port: int
    program: str


class Permission(NamedTuple):
    """Mode and owner of a file."""

    mode: int
    owner: str
    group: str
    path: str


class Facts:
    """The facts of one host.

    Args:
        capture: What its collector printed.
        role: What the host is for, from the inventory.
    """

    def __init__(self, capture: Capture, role: NodeRole) -> None:
        self.capture = capture
        self.role = role

    def lines(self, section: str, *, must_succeed: bool = False) -> tuple[str, ...]:
        """A section's lines.

        Raises:
            FactMissing: There is no such section, or its command failed and that leaves nothing to judge.
        """
        found = self.capture.get(section)
        if found is None:
            raise FactMissing(f"the collector printed no section {section}")
        if must_succeed and found.status != 0:
            said = found.lines[0] if found.lines else "nothing"
            raise FactMissing(f"section {section}: exit status {found.status}: {said}")
        return found.lines

    def values(self, section: str, separator: str = "=") -> dict[str, str]:
        """A section of `key = value` lines; the last of several wins."""
        pairs = (line.partition(separator) for line in self.lines(section))
        return {key.strip(): value.strip() for key, found, value in pairs if found}

    @cached_property
    def identity(self) -> dict[str, str]:
        """Host name, kernel, machine, time (seconds since 1970), container."""
        return self.values("identity")

    @property
    def today(self) -> int:
        """The host's own date, in days since 1970."""
        return int(self.identity["time"]) // 86400

    @property
    def in_container(self) -> bool:
        """Whether the kernel belongs to another machine, with its audit and its access control."""
        return self.identity.get("container", "none") not in ("", "none")

    @cached_property
    def sshd(self) -> dict[str, list[str]]:
        """The effective settings of sshd outside Match blocks (sshd -T)."""
        settings: dict[str, list[str]] = {}
        for line in self.lines("sshd", must_succeed=True):
            key, _, value = line.partition(" ")
            settings.setdefault(key.lower(), []).append(value)
        return settings

    def sshd_value(self, key: str) -> str:
        """One setting of sshd, lower case; empty where sshd does not know it."""
        return self.sshd.get(key, [""])[0].lower()

    @cached_property
    def accounts(self) -> list[Account]:
        """Every account."""
        shadow = {}
        for line in self.lines("shadow", must_succeed=True):
            name, *fields = line.split(":")
            shadow[name] = fields
        keys: dict[str, list[str]] = {}
        for line in self.lines("authorized-keys"):
            name, fingerprint, *_ = line.split()
            keys.setdefault(name, []).append(fingerprint)
        accounts = []
        for line in self.lines("passwd", must_succeed=True):
            name, _, uid, _, _, _, shell = line.split(":", 6)
            state, changed, _, maximum, _, _, expires, *_ = shadow.get(name, ["locked", *[""] * 7])
            accounts.append(
                Account(
                    name=name,
                    uid=int(uid),
                    shell=shell,
                    password=state,
                    changed=_number(changed),
                    maximum=_number(maximum),
                    expires=_number(expires),
                    keys=tuple(keys.get(name, ())),
                )
            )
        return accounts

    @cached_property
    def groups(self) -> dict[str, list[str]]:
        """The members that /etc/group names, by group."""
        rows = (line.split(":") for line in self.lines("group", must_succeed=True))
        return {row[0]: [member for member in row[3].split(",") if member] for row in rows}

    @cached_property
    def login_defs(self) -> dict[str, str]:
        """login.defs(5), which binds accounts made from now on only."""
        words = (text.split(None, 1) for _, text in self.settings("login-defs"))
        return {pair[0]: pair[1].strip() for pair in words if len(pair) == 2}

    def settings(self, section: str) -> list[tuple[str, str]]:
        """File and text of each line of a section of configuration files."""
        pairs = (line.partition(": ") for line in self.lines(section))
        return [(file, text) for file, found, text in pairs if found]

    @cached_property
    def pam(self) -> dict[str, list[PamLine]]:
        """The PAM configuration by service (pam.d(5))."""
        return read_pam(self.settings("pam"))

    def options(self, section: str, file: str = "") -> dict[str, str]:
        """`key = value` settings of a section's files whose name ends in `file`; a bare key is "yes"."""
        found = {}
        for name, text in self.settings(section):
            if name.endswith(file):
                key, separator, value = text.partition("=")
                found[key.strip()] = value.strip() if separator else "yes"
        return found

    @cached_property
    def units(self) -> dict[str, dict[str, str]]:
        """The properties of systemd units by id; units that are not installed are left out."""
        blocks: list[dict[str, str]] = [{}]
        for line in self.lines("units", must_succeed=True):
            key, _, value = line.partition("=")
            if not line:
                blocks.append({})
            elif key:
                blocks[-1][key] = value
        return {block["Id"]: block for block in blocks if block.get("LoadState") == "loaded"}

    def active(self, *names: str) -> bool:
        """Whether one of the units (names without `.service`) runs."""
        return any(self.units.get(f"{name}.service", {}).get("ActiveState") == "active" for name in names)

    @cached_property
    def listeners(self) -> list[Listener]:
        """The listening sockets that others reach; one that serves both families counts twice."""
        return [
            listener
            for line in self.lines("sockets", must_succeed=True)
            for listener in _listeners_of(line.split())
        ]

    @cached_property
    def nftables(self) -> list[dict[str, Any]]:
        """The objects of the nftables ruleset (libnftables-json(5))."""
        text = "\n".join(self.lines("nftables", must_succeed=True))
        try:
            objects = json.loads(text)["nftables"]
        except (ValueError, KeyError, TypeError) as error:
            raise FactMissing(f"section nftables is not libnftables JSON: {error}") from None
        assert isinstance(objects, list)  # noqa: S101 - libnftables-json(5)
        return objects

    @cached_property
    def permissions(self) -> dict[str, Permission]:
        """Mode and owner of the files that matter and that exist."""
        found = {}
        for line in self.lines("permissions"):
            mode, owner, group, path = line.split(None, 3)
            found[path] = Permission(int(mode, 8), owner, group, path)
        return found

    @cached_property
    def packages(self) -> dict[str, str]:
        """Installed packages and their versions."""
        pairs = (line.split(None, 1) for line in self.lines("packages", must_succeed=True))
        return {pair[0]: pair[-1] for pair in pairs if pair}

    @cached_property
    def sysctl(self) -> dict[str, str]:
        """Kernel settings of the network in both families."""
        return self.values("sysctl")


def _number(text: str) -> int | None:
    return int(text) if text.lstrip("-").isdigit() else None


def _listeners_of(words: list[str]) -> list[Listener]:
    """A line of `ss -H -lntup`: protocol, state, two queues, local address, peer, program."""
    if len(words) < 6:
        return []
    protocol, local = words[0], words[4]
    address, _, port = local.rpartition(":")
    address = address.partition("%")[0].strip("[]")
    if not port.isdigit() or address == "::1" or address.startswith(("127.", "::ffff:127.")):
        return []
    program = words[6].split('"')[1] if len(words) > 6 and '"' in words[6] else ""
    families = list(Family) if address == "*" else [Family.IPV6 if ":" in address else Family.IPV4]
    return [Listener(family, protocol, int(port), program) for family in families]
