"""Does a host let each account do no more than it needs (GB/T 22239-2019, 8.1.4.2 访问控制)? Pure."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

from .facts import Account, Facts
from .profile import Profile
from .requirement import Manual, Requirement

_UMASK = re.compile(r"\bumask\s+(?P<mask>0?[0-7]{3})\b")
#: Accounts below are the distribution's own (login.defs(5), UID_MIN).
_FIRST_PERSON = 1000
_NOBODY = 65534
#: A rule that allows every command: `name host=(user) [TAGS:] ALL` (sudoers(5)).
_SUDO_ALL = re.compile(r"^(?P<who>[%\w.-]+)\s+\S+\s*=\s*(\([^)]*\)\s*)?((?:[A-Z_]+:\s*)*)ALL\s*(,|$)")
_SUDO_RULE = re.compile(r"^(?P<who>[%\w.-]+)\s+\S+\s*=")


def rights(facts: Facts, profile: Profile) -> list[Requirement]:
    """8.1.4.2 a: accounts have rights of their own: files that matter are closed, new ones too."""
    wanted = int(profile.files.umask, 8)
    masks = [int(match["mask"], 8) for line in facts.lines("shell") if (match := _UMASK.search(line))]
    default = facts.login_defs.get("UMASK", "022")
    masks = masks or [int(default, 8)]
    loose = [mask for mask in masks if mask & wanted != wanted]
    wide = [
        f"{found.path} {found.mode:o} {found.owner}"
        for path, found in facts.permissions.items()
        for pattern, mode in profile.files.modes.items()
        if fnmatchcase(path, pattern) and (found.mode & ~int(mode, 8) or found.owner != "root")
    ]
    return [
        Requirement("umask", not loose, f"umask {' '.join(f'{mask:03o}' for mask in loose or masks)}"),
        Requirement("file-modes", not wide, ", ".join(wide) or "no file that matters is open"),
    ]


def default_accounts(facts: Facts, profile: Profile) -> list[Requirement]:
    """8.1.4.2 b: the accounts that come with the system are of no use to a stranger."""
    root = facts.sshd_value("permitrootlogin")
    loosened = [text for _, text in facts.settings("sshd-match") if _loosens(text)]
    usable = [
        account.name for account in facts.accounts if _is_vendors(account, profile) and account.can_log_in
    ]
    evidence = f"PermitRootLogin {root or 'unset'}"
    if loosened:
        evidence += f", and in a Match block: {', '.join(loosened)}"
    return [
        Requirement("root-over-ssh", root == "no" and not loosened, evidence),
        Requirement("system-accounts", not usable, f"{' '.join(usable) or 'no system account'} can log in"),
    ]


def _loosens(text: str) -> bool:
    """Whether a line of a Match block lets root or empty passwords in after all."""
    key, _, value = text.lower().replace("=", " ").partition(" ")
    return key in ("permitrootlogin", "permitemptypasswords") and value.strip() != "no"


def _is_vendors(account: Account, profile: Profile) -> bool:
    """Whether the distribution made an account; one that a deploy made for a service may have a low UID too."""
    is_low = 0 < account.uid < _FIRST_PERSON or account.uid == _NOBODY
    return is_low and account.name not in profile.accounts.expected


def superfluous_accounts(facts: Facts, profile: Profile) -> list[Requirement]:
    """8.1.4.2 c: no account that nobody needs, none that has expired, none that several share."""
    people = [
        account for account in facts.accounts if account.can_log_in and not _is_vendors(account, profile)
    ]
    strangers = [account.name for account in people if account.name not in profile.accounts.expected]
    expired = [
        account.name
        for account in people
        if account.expires is not None and 0 <= account.expires <= facts.today
    ]
    owners: dict[str, list[str]] = {}
    for account in facts.accounts:
        for key in account.keys:
            owners.setdefault(key, []).append(account.name)
    shared = [" and ".join(names) for names in owners.values() if len(names) > 1]
    names = " ".join(account.name for account in people)
    return [
        Requirement(
            "no-strangers",
            not strangers,
            f"{' '.join(strangers)} not expected" if strangers else f"only {names or 'nobody'} can log in",
        ),
        Requirement("none-expired", not expired, f"{' '.join(expired) or 'no account'} has expired"),
        Requirement(
            "no-shared-keys", not shared, f"{', '.join(shared) or 'no two accounts'} share an SSH key"
        ),
    ]


def least_privilege(facts: Facts, profile: Profile) -> list[Requirement]:
    """8.1.4.2 d: administrators have what they need, and who audits does not administer."""
    roots = [account.name for account in facts.accounts if account.uid == 0 and account.name != "root"]
    masters, limited = _sudoers(facts)
    excess = sorted(masters - set(profile.accounts.administrators))
    existing = {account.name for account in facts.accounts}
    auditors = [name for name in profile.accounts.auditors if name in existing]
    separate = [name for name in auditors if name in limited and name not in masters]
    return [
        Requirement("one-root", not roots, f"{' '.join(roots) or 'no account but root'} has UID 0"),
        Requirement(
            "administrators",
            not excess,
            f"{' '.join(excess) or 'nobody but administrators'} may run every command as root",
        ),
        Requirement(
            "separate-auditor",
            bool(auditors) and separate == auditors,
            f"{' '.join(separate) or 'no account'} audits without being an administrator",
        ),
    ]


def _sudoers(facts: Facts) -> tuple[set[str], set[str]]:
    """Who may run every command, and who may run some; groups stand for their members."""
    masters: set[str] = set()
    limited: set[str] = set()
    for _, text in facts.settings("sudoers"):
        rule = _SUDO_ALL.match(text)
        some = rule or _SUDO_RULE.match(text)
        if some and not text.startswith("Defaults"):
            who = some["who"]
            names = facts.groups.get(who[1:], []) if who.startswith("%") else [who]
            (masters if rule else limited).update(names)
    return masters, limited


def policy(facts: Facts, profile: Profile) -> Manual:
    """8.1.4.2 e: who decides on the rules of access; no host knows."""
    return Manual("see who is authorised to set the rules of access, and the rules as they are written down")


def granularity(facts: Facts, profile: Profile) -> Manual:
    """8.1.4.2 f: rules are of users and processes, of files and tables."""
    return Manual(
        "the system's rules are of users, groups and files; see the rules of its databases and applications"
    )


def labels(facts: Facts, profile: Profile) -> list[Requirement]:
    """8.1.4.2 g: what matters carries a security label that rules of access obey."""
    if facts.in_container:
        return [
            Requirement("labels", None, f"a container ({facts.identity['container']}) has its host's kernel")
        ]
    found = facts.values("mac")
    enforcing = {
        "SELinux": found.get("selinux") == "1",
        "AppArmor": found.get("apparmor") == "Y" and found.get("apparmor-enforced", "0") != "0",
        "KySec": found.get("kysec", "").lower() in ("enabled", "enforcing", "softmode"),
    }
    names = [name for name, is_on in enforcing.items() if is_on]
    return [
        Requirement("labels", bool(names), f"{' '.join(names) or 'no mandatory access control'} enforces")
    ]
