"""Does each control see the one fact that makes a good host bad, and let pass what is no fault?"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from checks.record import Record, Status
from checks.security.controls import Control, load_controls
from checks.security.evaluate import evaluate_node
from checks.security.profile import OVERRIDES, Profile, ProfileError, load_profile
from checks.security.requirement import Manual, Requirement, State, verdict_of
from checks.security.stream import Capture, Section
from inventories.records import Node, NodeRole

from .hosts import added, changed, hardened, plain, replaced

Change = Callable[[Capture], Capture]
MANUAL = {"L3-CES1-04", "L3-CES1-09", "L3-CES1-10", "L3-CES1-20", "L3-CES1-22"}
CONTROLS = {control.id: control for control in load_controls()}


@pytest.fixture(scope="module")
def profile(tmp_path_factory: pytest.TempPathFactory) -> Profile:
    """The kit's profile, in a city where zhangwei may log in."""
    folder = tmp_path_factory.mktemp("city")
    accounts = '[accounts]\nexpected = ["root", "deploy", "operator", "audit", "zhangwei"]\n'
    (folder / OVERRIDES).write_text(accounts, encoding="utf-8")
    return load_profile(folder)


def evaluate(
    capture: Capture, profile: Profile, role: NodeRole = NodeRole.BACKUP
) -> dict[tuple[str, str], Record]:
    node = Node(id="host-1", site="backup", role=role)
    return {(record.check, record.family): record for record in evaluate_node(node, capture, profile)}


def change(section: str, old: str, new: str) -> Change:
    return lambda capture: changed(capture, section, old, new)


def add(section: str, *lines: str) -> Change:
    return lambda capture: added(capture, section, *lines)


def test_the_hardened_host_meets_every_control_that_a_machine_can_judge(profile: Profile) -> None:
    records = evaluate(hardened(), profile)
    for (control, _), record in records.items():
        expected = Status.MANUAL if control in MANUAL else Status.PASS
        assert record.status is expected, record
        assert record.evidence
        assert record.reason == ""
    families = {family for control, family in records if CONTROLS[control].families}
    assert families == {"ipv4", "ipv6"}


#: Control, family, the requirement that fails, what changes in the hardened capture.
FAULTS: list[tuple[str, str, str, Change]] = [
    ("01", "none", "unique", add("passwd", "second:x:1000:1000::/home/second:/bin/bash")),
    ("01", "none", "no-empty-passwords", change("shadow", "zhangwei:password", "zhangwei:empty")),
    (
        "01",
        "none",
        "no-empty-passwords",
        change("sshd", "permitemptypasswords no", "permitemptypasswords yes"),
    ),
    ("01", "none", "length", change("pwquality", "minlen = 12", "minlen = 6")),
    ("01", "none", "length", change("pam", "pam_pwquality.so retry=3", "pam_pwquality.so minlen=6")),
    ("01", "none", "classes", change("pwquality", "minclass = 3", "minclass = 2")),
    ("01", "none", "length", change("pam", "pam_pwquality.so", "pam_permit.so")),
    ("01", "none", "history", change("pam", "remember=5", "remember=2")),
    ("01", "none", "history", change("pam", "pam_pwhistory.so", "pam_permit.so")),
    ("01", "none", "age", change("shadow", ":0:90:7::", ":0:99999:7::")),
    ("01", "none", "age", change("shadow", "zhangwei:password:20697", "zhangwei:password:20500")),
    ("01", "none", "age-of-new-accounts", change("login-defs", "PASS_MAX_DAYS\t90", "PASS_MAX_DAYS\t99999")),
    ("02", "none", "lockout", change("faillock", "deny = 5", "deny = 10")),
    ("02", "none", "lockout", change("faillock", "unlock_time = 900", "unlock_time = 60")),
    ("02", "none", "lockout", change("pam", "pam_faillock.so preauth", "pam_faillock.so preauth deny=20")),
    ("02", "none", "lockout", change("pam", "pam_faillock.so", "pam_permit.so")),
    ("02", "none", "ssh-tries", change("sshd", "maxauthtries 4", "maxauthtries 6")),
    ("02", "none", "ssh-grace", change("sshd", "logingracetime 30", "logingracetime 0")),
    ("02", "none", "ssh-dead-peers", change("sshd", "clientaliveinterval 100", "clientaliveinterval 0")),
    ("02", "none", "ssh-dead-peers", change("sshd", "clientalivecountmax 3", "clientalivecountmax 0")),
    ("02", "none", "idle-shells", change("shell", "TMOUT=300", "TMOUT=3600")),
    ("02", "none", "idle-shells", lambda capture: replaced(capture, "shell", "")),
    ("02", "none", "idle-shells", add("shell", "/etc/profile.d/zz.sh:1:TMOUT=0")),
    ("03", "none", "nothing-in-clear", add("sockets", "tcp LISTEN 0 5 [::]:23 [::]:*")),
    ("03", "none", "nothing-in-clear", add("sockets", "tcp LISTEN 0 5 0.0.0.0:513 0.0.0.0:*")),
    ("03", "none", "strong-algorithms", change("sshd", "ciphers ", "ciphers 3des-cbc,")),
    ("03", "none", "strong-algorithms", change("sshd", "macs ", "macs hmac-md5-etm@openssh.com,")),
    ("05", "none", "umask", change("shell", "umask 027", "umask 022")),
    (
        "05",
        "none",
        "file-modes",
        change("permissions", "640 root shadow /etc/shadow", "644 root shadow /etc/shadow"),
    ),
    (
        "05",
        "none",
        "file-modes",
        change("permissions", "440 root root /etc/sudoers", "440 audit root /etc/sudoers"),
    ),
    (
        "05",
        "none",
        "file-modes",
        change("permissions", "600 root root /etc/ssh/ssh_host_rsa", "604 root root /etc/ssh/ssh_host_rsa"),
    ),
    ("06", "none", "root-over-ssh", change("sshd", "permitrootlogin no", "permitrootlogin without-password")),
    (
        "06",
        "none",
        "root-over-ssh",
        add(
            "sshd-match",
            "/etc/ssh/sshd_config: Match Address 10.0.0.0/8",
            "/etc/ssh/sshd_config: PermitRootLogin yes",
        ),
    ),
    (
        "06",
        "none",
        "system-accounts",
        lambda c: changed(
            changed(c, "passwd", "games:/usr/sbin/nologin", "games:/bin/sh"),
            "shadow",
            "games:locked",
            "games:password",
        ),
    ),
    (
        "07",
        "none",
        "no-strangers",
        lambda c: added(
            added(c, "passwd", "mallory:x:1200:1200::/home/mallory:/bin/bash"),
            "authorized-keys",
            "mallory SHA256:CCC (ED25519)",
        ),
    ),
    (
        "07",
        "none",
        "none-expired",
        change("shadow", "zhangwei:password:20697:0:90:7::", "zhangwei:password:20697:0:90:7::20000"),
    ),
    ("07", "none", "no-shared-keys", add("authorized-keys", f"zhangwei SHA256:{'A' * 42}0 (ED25519)")),
    ("08", "none", "one-root", add("passwd", "toor:x:0:0::/root:/bin/bash")),
    ("08", "none", "administrators", add("sudoers", "/etc/sudoers.d/x: zhangwei ALL=(ALL) NOPASSWD: ALL")),
    ("08", "none", "administrators", change("group", "sudo:x:27:", "sudo:x:27:zhangwei")),
    ("08", "none", "separate-auditor", add("sudoers", "/etc/sudoers.d/x: audit ALL=(ALL) ALL, !/bin/su")),
    ("08", "none", "separate-auditor", change("passwd", "audit:x:", "auditor:x:")),
    ("11", "none", "labels", change("mac", "apparmor-enforced=12", "apparmor-enforced=0")),
    ("11", "none", "labels", lambda capture: replaced(capture, "mac", "selinux=0")),
    (
        "12",
        "none",
        "logins",
        lambda c: changed(
            changed(
                c,
                "units",
                "Id=rsyslog.service\nLoadState=loaded\nActiveState=active",
                "Id=rsyslog.service\nLoadState=loaded\nActiveState=failed",
            ),
            "permissions",
            "/var/log/journal",
            "/var/log/nothing",
        ),
    ),
    ("12", "none", "kernel-audit", change("audit", "enabled 1", "enabled 0")),
    ("12", "none", "kernel-audit", add("audit", "-a never,task")),
    ("12", "none", "watched-files", change("audit", "-w /etc/shadow", "-w /etc/motd")),
    (
        "13",
        "none",
        "clock",
        change("clock", "Leap status     : Normal", "Leap status     : Not synchronised"),
    ),
    ("13", "none", "clock", change("clock", "C613F00C (198.19.240.12)", "7F7F0101 ()")),
    (
        "13",
        "none",
        "records",
        lambda c: changed(
            changed(c, "rsyslog", "RSYSLOG_FileFormat", "RSYSLOG_TraditionalFileFormat"),
            "units",
            "Id=systemd-journald.service\nLoadState=loaded\nActiveState=active",
            "Id=systemd-journald.service\nLoadState=loaded\nActiveState=inactive",
        ),
    ),
    ("14", "none", "kept-elsewhere", change("rsyslog", "omfwd", "omfile")),
    (
        "14",
        "none",
        "retention",
        lambda c: changed(changed(c, "rsyslog", "omfwd", "omfile"), "logrotate", "rotate 27", "rotate 4"),
    ),
    (
        "14",
        "none",
        "closed",
        change("permissions", "640 root adm /var/log/auth.log", "644 root adm /var/log/auth.log"),
    ),
    (
        "15",
        "none",
        "rsyslog",
        change("units", "Restart=on-failure\nId=rsyslog.service", "Restart=no\nId=rsyslog.service"),
    ),
    (
        "15",
        "none",
        "auditd",
        change(
            "units",
            "Id=auditd.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled",
            "Id=auditd.service\nLoadState=loaded\nActiveState=active\nUnitFileState=disabled",
        ),
    ),
    (
        "15",
        "none",
        "settings",
        change("permissions", "644 root root /etc/rsyslog.conf", "666 root root /etc/rsyslog.conf"),
    ),
    ("17", "none", "packages", add("packages", "telnetd 0.17+2.4-2")),
    ("18", "ipv4", "high-risk-ports", add("sockets", "tcp LISTEN 0 5 0.0.0.0:445 0.0.0.0:*")),
    ("18", "ipv6", "high-risk-ports", add("sockets", "udp UNCONN 0 0 [::]:111 [::]:*")),
    ("18", "ipv6", "high-risk-ports", add("sockets", "tcp LISTEN 0 5 *:445 *:*")),
    ("18", "ipv4", "default-deny", change("nftables", '"policy": "drop"', '"policy": "accept"')),
    ("18", "ipv6", "default-deny", change("nftables", '"family": "inet"', '"family": "ip"')),
    (
        "18",
        "ipv6",
        "redirects",
        change("sysctl", "ipv6.conf.default.accept_redirects=0", "ipv6.conf.default.accept_redirects=1"),
    ),
    (
        "18",
        "ipv4",
        "redirects",
        change("sysctl", "ipv4.conf.all.accept_redirects=0", "ipv4.conf.all.accept_redirects=1"),
    ),
    (
        "18",
        "ipv6",
        "forwarding",
        change("sysctl", "ipv6.conf.all.forwarding=0", "ipv6.conf.all.forwarding=1"),
    ),
    (
        "18",
        "ipv4",
        "forwarding",
        change("sysctl", "ipv4.conf.all.forwarding=0", "ipv4.conf.all.forwarding=1"),
    ),
    ("19", "ipv4", "ssh-sources", change("nftables", '"set": [80, 443]', '"set": [22, 443]')),
    (
        "19",
        "ipv6",
        "ssh-sources",
        change("nftables", '"@management6"', '{"prefix": {"addr": "::", "len": 0}}'),
    ),
    ("21", "none", "lists", change("updates", "lists 1789992800", "lists 1780000000")),
    ("21", "none", "lists", lambda capture: replaced(capture, "updates", "")),
    (
        "21",
        "none",
        "patches",
        add("updates", "upgrade openssl [3.0.15-1] (3.0.17-1 Debian-Security:12/stable-security [amd64])"),
    ),
    ("21", "none", "restart", add("identity", "reboot-required=yes")),
]


@pytest.mark.parametrize(
    ("number", "family", "requirement", "fault"),
    FAULTS,
    ids=[
        f"{number}-{family}-{requirement}-{place}"
        for place, (number, family, requirement, _) in enumerate(FAULTS)
    ],
)
def test_one_fault_is_seen(
    number: str, family: str, requirement: str, fault: Change, profile: Profile
) -> None:
    record = evaluate(fault(hardened()), profile)[f"L3-CES1-{number}", family]
    assert record.status is Status.FAIL, record.evidence
    assert requirement in record.reason.split(","), record
    assert f"NOT MET {requirement}" in record.evidence


def test_every_control_that_a_machine_judges_has_a_fault() -> None:
    assert {f"L3-CES1-{number}" for number, *_ in FAULTS} == set(CONTROLS) - MANUAL


def test_a_fault_of_one_family_leaves_the_other(profile: Profile) -> None:
    """A firewall that closes IPv4 and forgets IPv6 is the fault that generic profiles do not see."""
    capture = changed(hardened(), "nftables", '"family": "inet"', '"family": "ip"')
    records = evaluate(capture, profile)
    for control in ("L3-CES1-18", "L3-CES1-19"):
        assert records[control, "ipv4"].status is Status.PASS
        assert records[control, "ipv6"].status is Status.FAIL


@pytest.mark.parametrize(
    ("harmless", "role"),
    [
        (lambda c: changed(c, "sysctl", "conf.all.forwarding=0", "conf.all.forwarding=1"), NodeRole.ROUTER),
        (lambda c: added(c, "sockets", "tcp LISTEN 0 5 127.0.0.1:23 0.0.0.0:*"), NodeRole.BACKUP),
        (lambda c: added(c, "sockets", "tcp LISTEN 0 5 [::1]:111 [::]:*"), NodeRole.BACKUP),
        (lambda c: changed(c, "clock", "C613F00C (198.19.240.12)", "7F7F0101 ()"), NodeRole.OPERATIONS),
        (lambda c: changed(c, "logrotate", "rotate 27", "rotate 4"), NodeRole.BACKUP),
        (lambda c: changed(c, "rsyslog", "omfwd", "omfile"), NodeRole.OPERATIONS),
        (lambda c: changed(c, "faillock", "unlock_time = 900", "unlock_time = 0"), NodeRole.BACKUP),
        (lambda c: changed(c, "shadow", "operator:locked", "operator:locked"), NodeRole.BACKUP),
        (
            lambda c: changed(
                c,
                "sysctl",
                "ipv4.conf.default.accept_source_route=0",
                "ipv4.conf.default.accept_source_route=1",
            ),
            NodeRole.BACKUP,
        ),
    ],
    ids=[
        "a router forwards",
        "telnet on loopback",
        "rpcbind on IPv6 loopback",
        "the time server follows itself",
        "a host whose logs are kept by the collector",
        "the collector sends its logs nowhere",
        "accounts stay locked until somebody unlocks them",
        "keys log in without a password",
        "a source route that conf.all refuses",
    ],
)
def test_what_is_no_fault_passes(harmless: Change, role: NodeRole, profile: Profile) -> None:
    records = evaluate(harmless(hardened()), profile, role)
    assert [record for record in records.values() if record.status is Status.FAIL] == []


def test_logins_by_key_need_no_password_policy(profile: Profile) -> None:
    """Key logins are not to be turned off for the sake of a profile, nor passwords invented to fit it."""
    capture = changed(hardened(), "shadow", "zhangwei:password", "zhangwei:locked")
    capture = replaced(replaced(capture, "pwquality", ""), "faillock", "")
    capture = changed(
        changed(capture, "pam", "pam_pwquality.so", "pam_permit.so"),
        "pam",
        "pam_faillock.so",
        "pam_permit.so",
    )
    records = evaluate(capture, profile)
    assert records["L3-CES1-01", "none"].status is Status.PASS
    assert records["L3-CES1-02", "none"].status is Status.PASS
    assert "no account has a password" in records["L3-CES1-02", "none"].evidence


def test_in_a_container_the_kernel_is_not_its_own(profile: Profile) -> None:
    capture = changed(hardened(), "identity", "container=", "container=systemd-nspawn")
    capture = replaced(capture, "audit", "Error sending status request (Operation not permitted)", 255)
    capture = changed(
        capture,
        "units",
        "Id=auditd.service\nLoadState=loaded\nActiveState=active",
        "Id=auditd.service\nLoadState=loaded\nActiveState=failed",
    )
    records = evaluate(replaced(capture, "mac", ""), profile)
    assert records["L3-CES1-11", "none"].status is Status.NOT_APPLICABLE
    assert records["L3-CES1-12", "none"].status is Status.PASS
    assert records["L3-CES1-15", "none"].status is Status.PASS


def test_two_factors_are_judged_where_sshd_asks_for_them(profile: Profile) -> None:
    two = changed(
        hardened(),
        "sshd",
        "authenticationmethods any",
        "authenticationmethods publickey,keyboard-interactive:pam",
    )
    assert evaluate(two, profile)["L3-CES1-04", "none"].status is Status.PASS
    twice = changed(
        hardened(), "sshd", "authenticationmethods any", "authenticationmethods publickey,publickey"
    )
    assert evaluate(twice, profile)["L3-CES1-04", "none"].status is Status.MANUAL


def test_ipv6_that_is_off_is_not_judged(profile: Profile) -> None:
    capture = changed(hardened(), "sysctl", "disable_ipv6=0", "disable_ipv6=1")
    records = evaluate(capture, profile)
    assert records["L3-CES1-18", "ipv6"].status is Status.NOT_APPLICABLE
    assert records["L3-CES1-18", "ipv4"].status is Status.PASS


def test_debian_as_it_comes(profile: Profile) -> None:
    """What was captured on a real unhardened host has to be found."""
    records = evaluate(plain(), profile)
    failed = {
        control.removeprefix("L3-CES1-"): r.reason
        for (control, _), r in records.items()
        if r.status is Status.FAIL
    }
    assert failed == {
        "02": "ssh-tries,ssh-grace,ssh-dead-peers,idle-shells",
        "05": "umask",
        "06": "root-over-ssh",
        "08": "separate-auditor",
        "11": "labels",
        "12": "kernel-audit,watched-files",
        "13": "clock",
        "14": "kept-elsewhere,retention",
        "15": "auditd",
        "18": "default-deny,redirects",
        "19": "ssh-sources",
        "21": "lists",
    }


@pytest.mark.parametrize("control", CONTROLS.values(), ids=CONTROLS)
def test_a_control_reads_what_it_says(control: Control, profile: Profile) -> None:
    """With its own sections only, the verdict is the same; without any one of them that it needs, no pass."""
    whole = hardened()
    own = {name: section for name, section in whole.items() if name in control.reads}
    assert set(own) == set(control.reads)
    for (name, family), record in evaluate(own, profile).items():
        if name == control.id:
            expected = evaluate(whole, profile)[name, family]
            assert (record.status, record.evidence) == (expected.status, expected.evidence)


@pytest.mark.parametrize("section", ["sshd", "nftables", "sockets", "shadow", "units", "packages"])
def test_a_command_that_failed_is_an_error_not_a_pass(section: str, profile: Profile) -> None:
    capture = replaced(hardened(), section, "permission denied", 1)
    readers = [
        control for control in CONTROLS.values() if section in control.reads and control.id not in MANUAL
    ]
    records = evaluate(capture, profile)
    for control in readers:
        for family in ("ipv4", "ipv6") if control.families else ("none",):
            record = records[control.id, family]
            assert (record.status, record.reason) == (Status.ERROR, "fact_missing"), record
            assert "permission denied" in record.evidence


def test_garbage_is_an_error_not_a_crash(profile: Profile) -> None:
    for section in hardened():
        capture = {**hardened(), section: Section(("garbage: x = :: {", "\u0000", "1 2"), 0)}
        for record in evaluate(capture, profile).values():
            assert record.status in set(Status)


def test_verdicts() -> None:
    yes, no, none = Requirement("a", True, ""), Requirement("b", False, ""), Requirement("c", None, "")
    assert verdict_of([yes, none]).state is State.COMPLIANT
    assert verdict_of([yes, no]).state is State.PARTLY
    assert verdict_of([no, none]).state is State.NONCOMPLIANT
    assert verdict_of([none]).state is State.NOT_APPLICABLE
    assert verdict_of(Manual("x")).state is State.MANUAL


def test_a_profile_with_an_unknown_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / OVERRIDES).write_text("[password]\nminimum_lenght = 12\n", encoding="utf-8")
    with pytest.raises(ProfileError, match="minimum_lenght"):
        load_profile(tmp_path)
    (tmp_path / OVERRIDES).write_text("[password]\nminimum_length = 12\n", encoding="utf-8")
    assert load_profile(tmp_path).password.minimum_length == 12
    assert load_profile(tmp_path).password.history == 5


def test_controls_are_named_as_the_standard_has_them() -> None:
    assert [control.id for control in load_controls()] == [
        f"L3-CES1-{number:02}" for number in range(1, 23) if number != 16
    ]
    clauses = [control.clause for control in load_controls()]
    assert clauses == sorted(clauses)
    assert len(set(clauses)) == len(clauses)
