"""Does a host know who logs in (GB/T 22239-2019, 8.1.4.1 身份鉴别)? Pure."""

from __future__ import annotations

import re
from collections import Counter
from fnmatch import fnmatchcase

from .facts import Account, Facts
from .pam import PamLine, stack
from .profile import Profile
from .requirement import Manual, Requirement

#: The lines of sshd's configuration that hold its algorithms (sshd_config(5)).
_ALGORITHM_KEYS = ("ciphers", "macs", "kexalgorithms", "hostkeyalgorithms", "pubkeyacceptedalgorithms")
#: Ports of remote administration in clear: Telnet (RFC 854), rexec, rlogin, rsh is 514 and taken by syslog.
_CLEAR_PORTS = {23: "telnet", 512: "rexec", 513: "rlogin"}
_TIME = re.compile(r"(?P<number>\d+)(?P<unit>[smhdw]?)")
_UNITS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_CREDITS = ("dcredit", "ucredit", "lcredit", "ocredit")
_TMOUT = re.compile(r"\bTMOUT=[\"']?(?P<seconds>\d+)")


def users(facts: Facts, profile: Profile) -> list[Requirement]:
    """8.1.4.1 a: each user is one, and passwords are strong and change."""
    wanted = profile.password
    holders = [account for account in facts.accounts if account.password == "password"]  # noqa: S105
    found = [_unique(facts.accounts), _no_empty(facts)]
    if not holders:
        return [*found, Requirement("passwords", None, "no account has a password")]
    lines = stack(facts.pam, "passwd", "password")
    length, classes = _quality(facts, lines)
    history = _history(facts, lines)
    found += [
        Requirement("length", length >= wanted.minimum_length, f"minimum length of passwords {length}"),
        Requirement("classes", classes >= wanted.minimum_classes, f"{classes} classes of characters"),
        Requirement("history", history >= wanted.history, f"the last {history} passwords are refused"),
    ]
    old = [_age(account, facts.today, wanted.maximum_age_days) for account in holders]
    complaints = [text for text in old if text]
    names = " ".join(account.name for account in holders)
    found.append(Requirement("age", not complaints, ", ".join(complaints) or f"passwords of {names} expire"))
    days = facts.login_defs.get("PASS_MAX_DAYS", "unset")
    is_short = days.isdigit() and int(days) <= wanted.maximum_age_days
    found.append(Requirement("age-of-new-accounts", is_short, f"PASS_MAX_DAYS {days}"))
    return found


def _unique(accounts: list[Account]) -> Requirement:
    twice = [str(uid) for uid, times in Counter(account.uid for account in accounts).items() if times > 1]
    names = [name for name, times in Counter(account.name for account in accounts).items() if times > 1]
    text = f"more than one account of {' '.join(twice + names)}" if twice or names else "no two share a UID"
    return Requirement("unique", not twice and not names, text)


def _no_empty(facts: Facts) -> Requirement:
    empty = [account.name for account in facts.accounts if account.password == "empty"]  # noqa: S105
    text = f"{' '.join(empty)} without a password" if empty else "no empty password"
    allows = facts.sshd_value("permitemptypasswords") == "yes"
    return Requirement("no-empty-passwords", not empty and not allows, text + ", sshd allows them" * allows)


def _quality(facts: Facts, lines: list[PamLine]) -> tuple[int, int]:
    """Minimum length and classes that the password stack holds new passwords to; 0 where nothing does."""
    for line in lines:
        if line.module in ("pam_pwquality.so", "pam_cracklib.so"):
            options = {**facts.options("pwquality", ".conf"), **line.options()}
            credits = sum(_integer(options.get(name, "0"), 0) < 0 for name in _CREDITS)
            length = _integer(options.get("minlen", ""), 8)  # pwquality.conf(5)
            return length, max(credits, _integer(options.get("minclass", ""), 0))
    return 0, 0


def _history(facts: Facts, lines: list[PamLine]) -> int:
    for line in lines:
        options = line.options()
        if line.module == "pam_pwhistory.so":
            configured = facts.options("pwquality", "pwhistory.conf").get(
                "remember", "10"
            )  # pam_pwhistory(8)
            return _integer(options.get("remember", configured), 0)
        if line.module == "pam_unix.so" and "remember" in options:
            return _integer(options["remember"], 0)
    return 0


def _age(account: Account, today: int, limit: int) -> str:
    """What is wrong with the age of an account's password; empty when nothing is."""
    if account.maximum is None or not 0 < account.maximum <= limit:
        return (
            f"{account.name}: expires after {account.maximum if account.maximum is not None else 'no'} days"
        )
    if account.changed is not None and today - account.changed > account.maximum:
        return f"{account.name}: {today - account.changed} days old"
    return ""


def failed_logins(facts: Facts, profile: Profile) -> list[Requirement]:
    """8.1.4.1 b: failed logins are limited, idle and dead sessions end."""
    session = profile.session
    grace = seconds(facts.sshd_value("logingracetime"))
    tries = _integer(facts.sshd_value("maxauthtries"), 0)
    alive = seconds(facts.sshd_value("clientaliveinterval")) * _integer(
        facts.sshd_value("clientalivecountmax"), 0
    )
    idle = _idle_seconds(facts)
    return [
        _lockout(facts, profile),
        Requirement("ssh-tries", 0 < tries <= profile.lockout.tries, f"MaxAuthTries {tries}"),
        Requirement("ssh-grace", 0 < grace <= session.login_grace_seconds, f"LoginGraceTime {grace} s"),
        Requirement(
            "ssh-dead-peers",
            0 < alive <= session.ssh_alive_seconds,
            f"sshd drops a dead peer after {alive} s" if alive else "sshd keeps dead peers for ever",
        ),
        Requirement(
            "idle-shells",
            0 < idle <= session.idle_seconds,
            f"TMOUT {idle} s" if idle else "no TMOUT",
        ),
    ]


def _lockout(facts: Facts, profile: Profile) -> Requirement:
    holders = [account.name for account in facts.accounts if account.has_password]
    if not holders:
        return Requirement("lockout", None, "no account has a password")
    for service in ("sshd", "login"):
        lines = stack(facts.pam, service, "auth")
        modules = [line for line in lines if line.module in ("pam_faillock.so", "pam_tally2.so")]
        if not modules:
            return Requirement("lockout", False, f"service {service} does not count failures")
        options = facts.options("faillock")  # an argument in the PAM file goes before the file's
        for line in modules:
            options.update(line.options())
        default = {"pam_faillock.so": ("3", "600"), "pam_tally2.so": ("0", "0")}[modules[0].module]
        tries = _integer(options.get("deny", default[0]), 0)
        unlock = _integer(options.get("unlock_time", default[1]), 0)  # 0 or "never": an administrator unlocks
        if not 0 < tries <= profile.lockout.tries:
            return Requirement("lockout", False, f"service {service} locks after {tries or 'no'} failures")
        if 0 < unlock < profile.lockout.minimum_unlock_seconds:
            return Requirement("lockout", False, f"service {service} unlocks after {unlock} s")
    return Requirement("lockout", True, f"locked after {tries} failures for {unlock or 'unlimited'} s")


def _idle_seconds(facts: Facts) -> int:
    """The largest TMOUT that a login shell may be given; 0 for none."""
    found = [_TMOUT.search(line) for line in facts.lines("shell")]
    values = [int(match["seconds"]) for match in found if match]
    return 0 if 0 in values else max(values, default=0)


def remote_administration(facts: Facts, profile: Profile) -> list[Requirement]:
    """8.1.4.1 c: what is said in remote administration cannot be overheard, in either family."""
    clear = sorted(
        {
            f"{_CLEAR_PORTS[listener.port]} ({listener.family})"
            for listener in facts.listeners
            if listener.protocol == "tcp" and listener.port in _CLEAR_PORTS
        }
    )
    weak = sorted(
        {
            algorithm
            for key in _ALGORITHM_KEYS
            for algorithm in facts.sshd_value(key).split(",")
            if any(fnmatchcase(algorithm, pattern) for pattern in profile.ssh.forbidden_algorithms)
        }
    )
    return [
        Requirement(
            "nothing-in-clear", not clear, f"{' '.join(clear) or 'no telnet, rexec or rlogin'} listens"
        ),
        Requirement("strong-algorithms", not weak, f"sshd offers {' '.join(weak) or 'no weak algorithm'}"),
    ]


def two_factors(facts: Facts, profile: Profile) -> list[Requirement] | Manual:
    """8.1.4.1 d: two kinds of authentication. A host shows only its own; a bastion may ask for the other."""
    methods = facts.sshd_value("authenticationmethods")
    ways = methods.split()
    if ways and all(len({step.partition(":")[0] for step in way.split(",")}) > 1 for way in ways):
        return [Requirement("two-factors", True, f"sshd asks for {methods}")]
    asked = "a key" if facts.sshd_value("passwordauthentication") != "yes" else "a key or a password"
    return Manual(
        f"sshd alone asks for {asked}; see whether a bastion in front of it asks for a second factor"
    )


def seconds(text: str) -> int:
    """A time as sshd_config(5) writes it, in seconds: 90, 2m, 1h30m; 0 for `none` and nonsense."""
    return sum(int(match["number"]) * _UNITS[match["unit"]] for match in _TIME.finditer(text))


def _integer(text: str, default: int) -> int:
    try:
        return int(text)
    except ValueError:
        return default
