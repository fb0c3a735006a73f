"""Does each control see the one fact that makes a good host bad, and let pass what is no fault?"""

from __future__ import annotations

from pathlib import Path

import pytest

from checks.record import Record, Status
from checks.security.controls import Control, load_controls
from checks.security.evaluate import evaluate_node
from checks.security.profile import OVERRIDES, Profile, ProfileError, load_profile
from checks.security.requirement import Manual, Requirement, State, verdict_of
from checks.security.stream import Capture, Section
from inventories.records import Node, NodeRole

from .faults import FAULTS, Change
from .hosts import added, changed, hardened, plain, replaced

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


def test_the_hardened_host_meets_every_control_that_a_machine_can_judge(profile: Profile) -> None:
    records = evaluate(hardened(), profile)
    for (control, _), record in records.items():
        expected = Status.MANUAL if control in MANUAL else Status.PASS
        assert record.status is expected, record
        assert record.evidence
        assert record.reason == ""
    families = {family for control, family in records if CONTROLS[control].families}
    assert families == {"ipv4", "ipv6"}


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
