"""Is a host hard to break into (GB/T 22239-2019, 8.1.4.4 入侵防范)? Pure."""

from __future__ import annotations

from inventories.records import Family

from .facts import Facts
from .firewall import Access, access
from .profile import Profile
from .requirement import Manual, Requirement

#: A port that no rule names: what becomes of it is what becomes of everything not allowed.
_UNNAMED_PORT = 64999
_SECONDS_A_DAY = 86400


def minimal_installation(facts: Facts, profile: Profile) -> list[Requirement]:
    """8.1.4.4 a: only what is needed is installed."""
    unwanted = [name for name in profile.software.unwanted_packages if name in facts.packages]
    text = f"{' '.join(unwanted)} installed" if unwanted else f"{len(facts.packages)} packages, none unwanted"
    return [Requirement("packages", not unwanted, text)]


def services_and_ports(facts: Facts, profile: Profile, family: Family) -> list[Requirement]:
    """8.1.4.4 b: no service that is not needed, no port that is a risk; in each family by itself."""
    if _is_off(facts, family):
        return [Requirement("ports", None, "the kernel's IPv6 is off")]
    by_default = {
        protocol: access(facts.nftables, family, protocol, _UNNAMED_PORT) for protocol in ("tcp", "udp")
    }
    leaks = [protocol for protocol, who in by_default.items() if who is Access.OPEN]
    risks = {(port.protocol, port.port): port.why for port in profile.network.high_risk_ports}
    listening = [listener for listener in facts.listeners if listener.family is family]
    risky = sorted(
        {
            f"{risks[key]} ({key[1]}/{key[0]})"
            for listener in listening
            if (key := (listener.protocol, listener.port)) in risks
        }
    )
    ports = sorted({f"{listener.port}/{listener.protocol}" for listener in listening})
    return [
        Requirement(
            "default-deny",
            not leaks,
            f"the firewall lets {' and '.join(leaks)} in by default" if leaks else "closed by default",
        ),
        Requirement(
            "high-risk-ports",
            not risky,
            f"{', '.join(risky)} listens" if risky else f"listens on {' '.join(ports) or 'nothing'}",
        ),
        _redirects(facts, family),
        _forwarding(facts, profile, family),
    ]


def _is_off(facts: Facts, family: Family) -> bool:
    return family is Family.IPV6 and facts.sysctl.get("net.ipv6.conf.all.disable_ipv6") == "1"


def _redirects(facts: Facts, family: Family) -> Requirement:
    """Redirects and source routes let a stranger lead packets (RFC 5927, RFC 6274 section 4.3.2)."""
    names = ["all.accept_redirects", "default.accept_redirects", "all.accept_source_route"]
    if family is Family.IPV6:  # in IPv4 a source route is taken only where "all" says so too (ip-sysctl.rst)
        names.append("default.accept_source_route")
    settings = {name: facts.sysctl.get(f"net.{family}.conf.{name}", "0") for name in names}
    loose = [name for name, value in settings.items() if value not in ("0", "-1")]
    text = f"{' '.join(loose)} on" if loose else "no redirects, no source routes"
    return Requirement("redirects", not loose, text)


def _forwarding(facts: Facts, profile: Profile, family: Family) -> Requirement:
    if facts.role.value in profile.network.forwarding_roles:
        return Requirement("forwarding", None, f"a {facts.role} forwards packets")
    forwards = facts.sysctl.get(f"net.{family}.conf.all.forwarding") == "1"
    return Requirement(
        "forwarding", not forwards, f"{'forwards' if forwards else 'does not forward'} packets"
    )


def management_sources(facts: Facts, profile: Profile, family: Family) -> list[Requirement]:
    """8.1.4.4 c: only some networks reach the ports of administration; in each family by itself."""
    if _is_off(facts, family):
        return [Requirement("ssh-sources", None, "the kernel's IPv6 is off")]
    named = [int(port) for port in facts.sshd.get("port", []) if port.isdigit()]
    ports = named or [profile.network.management_port_default]
    listening = {
        listener.port
        for listener in facts.listeners
        if listener.protocol == "tcp" and listener.family is family
    }
    reachable = [port for port in ports if port in listening]
    if not reachable:
        return [Requirement("ssh-sources", True, "sshd listens on no address that others reach")]
    worst = max(access(facts.nftables, family, "tcp", port) for port in reachable)
    says = {
        Access.OPEN: "the firewall lets everybody reach SSH",
        Access.LIMITED: "the firewall lets some sources or interfaces reach SSH",
        Access.CLOSED: "the firewall lets nobody reach SSH",
    }
    return [Requirement("ssh-sources", worst is not Access.OPEN, says[worst])]


def input_validation(facts: Facts, profile: Profile) -> Manual:
    """8.1.4.4 d: programs check what is put in; no setting of the host says so."""
    return Manual("see the tests of the applications' input on this host")


def vulnerabilities(facts: Facts, profile: Profile) -> list[Requirement]:
    """8.1.4.4 e: known vulnerabilities are found, and mended."""
    lines = [line.split() for line in facts.lines("updates", must_succeed=True)]
    times = [int(words[1]) for words in lines if words[:1] == ["lists"]]
    pending = [words[1] for words in lines if words[:1] == ["upgrade"] and len(words) > 1]
    days = (int(facts.identity["time"]) - max(times)) / _SECONDS_A_DAY if times else None
    fresh = days is not None and days <= profile.software.lists_age_days
    names = " ".join(pending[:5]) + (" ..." if len(pending) > 5 else "")
    return [
        Requirement(
            "lists",
            fresh,
            "no lists of packages" if days is None else f"lists of packages {days:.1f} days old",
        ),
        Requirement(
            "patches",
            not pending if times else None,
            (f"{len(pending)} updates wait: {names}" if pending else "no update waits")
            if times
            else "without lists nobody knows",
        ),
        Requirement(
            "restart",
            facts.identity.get("reboot-required") != "yes",
            "waits for a restart" if facts.identity.get("reboot-required") else "runs what is installed",
        ),
    ]


def intrusion_detection(facts: Facts, profile: Profile) -> Manual:
    """8.1.4.4 f: an intrusion is noticed and reported; the host shows only what is installed."""
    names = [name for name in profile.software.intrusion_detection_packages if name in facts.packages]
    return Manual(
        f"{' '.join(names) or 'no program that detects intrusions'} on the host; see the network's detection "
        "and whether its alarms reach somebody"
    )
