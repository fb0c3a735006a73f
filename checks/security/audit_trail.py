"""Does a host keep a trail of what is done on it (GB/T 22239-2019, 8.1.4.3 安全审计)? Pure."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from .facts import Facts
from .profile import Profile
from .requirement import Requirement

#: A rsyslog action that sends away: `*.* @@host`, `action(type="omfwd" ...)`, RELP (rsyslog.conf(5)).
_FORWARDS = re.compile(r"\s@@?[\[\w(]|\bom(fwd|relp)\b|:omrelp:")
_PERIODS = {"hourly": 1 / 24, "daily": 1, "weekly": 7, "monthly": 30, "yearly": 365}
_CONTAINER = "the kernel's audit belongs to the container's host"


def enabled(facts: Facts, profile: Profile) -> list[Requirement]:
    """8.1.4.3 a: the trail is on and covers every user, what they do and what happens to security."""
    has_syslog = facts.active("rsyslog") and any(
        re.search(r"\bauth(priv)?\b|^\*\.\*", text) for _, text in facts.settings("rsyslog")
    )
    has_journal = facts.active("systemd-journald") and "/var/log/journal" in facts.permissions
    kept = [name for name, is_on in (("rsyslog", has_syslog), ("persistent journal", has_journal)) if is_on]
    logins = Requirement("logins", bool(kept), f"{' and '.join(kept) or 'nothing'} keeps logins and sudo")
    if facts.in_container:
        return [logins, Requirement("kernel-audit", None, _CONTAINER)]
    lines = facts.lines("audit")
    watched = [path for path in profile.logging.watched_files if any(_watches(line, path) for line in lines)]
    unwatched = [path for path in profile.logging.watched_files if path not in watched]
    running = facts.active("auditd") and any(
        line.split() in (["enabled", "1"], ["enabled", "2"]) for line in lines
    )
    skipped = any(line.startswith("-a never,task") for line in lines)
    return [
        logins,
        Requirement(
            "kernel-audit", running and not skipped, f"auditd {'runs' if running else 'does not run'}"
        ),
        Requirement(
            "watched-files",
            not unwatched,
            f"{' '.join(unwatched)} not watched" if unwatched else f"watches {' '.join(watched)}",
        ),
    ]


def _watches(line: str, path: str) -> bool:
    words = line.split()
    folder = path.rpartition("/")[0]
    places = {path, folder, f"{folder}/"}
    return any(word.removeprefix("path=").removeprefix("dir=") in places for word in words[1:])


def contents(facts: Facts, profile: Profile) -> list[Requirement]:
    """8.1.4.3 b: a record holds date and time, user, kind and result; so the clock has to be right."""
    synchronised, evidence = _clock(facts)
    has_journal = facts.active("systemd-journald")
    templates = [text for _, text in facts.settings("rsyslog") if "DefaultTemplate" in text]
    whole = not any("Traditional" in text for text in templates) or has_journal
    return [
        Requirement("clock", synchronised, evidence),
        Requirement(
            "records",
            whole,
            "the journal has user, unit, result and time to the microsecond"
            if has_journal
            else "rsyslog's traditional format has neither year nor offset from UTC"
            if not whole
            else "rsyslog writes full dates",
        ),
    ]


def _clock(facts: Facts) -> tuple[bool, str]:
    """Whether the clock follows a server; a log collector that serves time itself may follow its own."""
    tracking = facts.values("clock", ":")
    reference, leap = tracking.get("Reference ID", ""), tracking.get("Leap status", "")
    if reference:
        own = reference.startswith(("7F7F", "00000000"))
        serves = facts.role.value == "operations" and reference.startswith("7F7F")
        return leap == "Normal" and (not own or serves), f"chrony follows {reference}, leap status {leap}"
    if facts.values("clock").get("NTPSynchronized") == "yes":
        return True, "systemd says that the clock is synchronised"
    return False, "the clock follows no server"


def protection(facts: Facts, profile: Profile) -> list[Requirement]:
    """8.1.4.3 c: records are safe from deletion and change, and are kept elsewhere too."""
    collects = facts.role.value in profile.logging.collectors
    uploads = facts.active("systemd-journal-upload")
    forwards = uploads or any(_FORWARDS.search(text) for _, text in facts.settings("rsyslog"))
    days, where = _retention(facts, profile)
    readable = [
        found.path
        for path in profile.logging.private_logs
        if (found := facts.permissions.get(path)) and found.mode & 0o007
    ]
    wanted = profile.logging.retention_days
    if collects:
        forwarding = Requirement("kept-elsewhere", None, "this host is where the others' records are kept")
        retention = Requirement("retention", days >= wanted, f"{where} kept {days:g} days")
    else:
        forwarding = Requirement(
            "kept-elsewhere",
            forwards and facts.active("rsyslog", "systemd-journal-upload"),
            "records go to the log collector" if forwards else "no record leaves the host",
        )
        is_enough = days >= wanted
        retention = Requirement(
            "retention",
            True if is_enough else None if forwards else False,
            f"{where} kept {days:g} days here"
            + ("" if is_enough or not forwards else ", longer at the collector"),
        )
    files = Requirement("closed", not readable, f"{' '.join(readable) or 'no log'} is open to everybody")
    return [forwarding, retention, files]


def _retention(facts: Facts, profile: Profile) -> tuple[float, str]:
    """Days that logrotate(8) keeps the system's logs: the least of all that are rotated."""
    least, where = float("inf"), "system logs"
    for paths, directives in _rotations(facts):
        names = [p for p in paths if any(fnmatchcase(p, wanted) for wanted in profile.logging.rotated_logs)]
        if not names:
            continue
        period = next((days for word, days in _PERIODS.items() if word in directives), 7)
        days = period * int(directives.get("rotate", "0") or 0)
        if directives.get("maxage", "").isdigit():
            days = min(days, int(directives["maxage"]))
        if days < least:
            least, where = days, names[0]
    return (least if least != float("inf") else 0), where


def _rotations(facts: Facts) -> list[tuple[list[str], dict[str, str]]]:
    """The blocks of logrotate's files: paths, and directives over those that stand outside of blocks."""
    blocks: list[tuple[list[str], dict[str, str]]] = []
    common: dict[str, str] = {}
    paths: list[str] = []
    block: dict[str, str] | None = None
    for _, text in facts.settings("logrotate"):
        head, brace, _ = text.partition("{")
        if text.startswith("}"):
            if block is not None:
                blocks.append((paths, block))
            paths, block = [], None
        elif block is not None:
            key, _, value = text.partition(" ")
            block[key] = value.strip()
        elif head.lstrip().startswith(("/", '"/')) or brace:
            paths.extend(word.strip('"') for word in head.split())
            block = dict(common) if brace else None
        else:
            key, _, value = text.partition(" ")
            common[key] = value.strip()
    return blocks


def daemon_protection(facts: Facts, profile: Profile) -> list[Requirement]:
    """8.1.4.3 d: nobody without authority ends the trail."""
    found = [_guarded(facts, "systemd-journald")]
    if "rsyslog.service" in facts.units:
        found.append(_guarded(facts, "rsyslog"))
    if facts.in_container:
        found.append(Requirement("auditd", None, _CONTAINER))
    else:
        found.append(_guarded(facts, "auditd"))
    wide = [
        permission.path
        for path in ("/etc/rsyslog.conf", "/etc/audit/auditd.conf")
        if (permission := facts.permissions.get(path))
        and (permission.mode & 0o022 or permission.owner != "root")
    ]
    evidence = (
        f"{' '.join(wide)} can be changed by others than root" if wide else "only root changes its settings"
    )
    return [*found, Requirement("settings", not wide, evidence)]


def _guarded(facts: Facts, name: str) -> Requirement:
    unit = facts.units.get(f"{name}.service", {})
    starts = unit.get("UnitFileState") in ("enabled", "static", "indirect", "alias")
    restarts = unit.get("Restart", "no") != "no" or unit.get("RefuseManualStop") == "yes"
    runs = unit.get("ActiveState") == "active"
    text = ", ".join(
        [
            "runs" if runs else "does not run",
            "starts at boot" if starts else "does not start at boot",
            "comes back when it dies" if restarts else "stays away when it dies",
        ]
    )
    return Requirement(name.removeprefix("systemd-"), runs and starts and restarts, text)
