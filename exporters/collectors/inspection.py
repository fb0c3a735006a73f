"""Certificates, Chinese cipher suites and IPv6 readiness as metrics: what changes slowly and is looked at seldom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily

from checks.availability.chinese import Offered
from checks.availability.tls import Certificate
from checks.record import Record, Status
from exporters.places import UNKNOWN_PLACE, Place


class Shown(NamedTuple):
    """What one TLS endpoint showed over one family; None for what could not be learned.

    Attributes:
        key: Subject, check, family.
        certificate: The certificate of its TLS handshake.
        offered: The Chinese suites that it offers, by protocol.
        tlcp_ends: When TLCP's certificates end, in seconds since the epoch: to sign, to encrypt.
    """

    key: tuple[str, str, str]
    certificate: Certificate | None
    offered: Mapping[str, Offered] | None
    tlcp_ends: Sequence[float] = ()


class Inspection(NamedTuple):
    """A finished inspection: of each TLS endpoint, and the assessment's records of each system."""

    shown: Sequence[Shown]
    readiness: Sequence[Record]


_TARGET = ["subject", "check", "family"]


def inspection_metrics(inspection: Inspection, where: Mapping[str, Place]) -> list[Metric]:
    """The families of one inspection; what could not be learned has no series, never an old one."""
    return [*_tls_metrics(inspection.shown), *_readiness_metrics(inspection.readiness, where)]


def _tls_metrics(shown: Sequence[Shown]) -> list[Metric]:
    success = GaugeMetricFamily(
        "jizuo_tls_handshake_success", "Whether there was a TLS handshake.", labels=_TARGET
    )
    end = GaugeMetricFamily(
        "jizuo_tls_certificate_not_after_timestamp_seconds",
        "When the server's certificate ends.",
        labels=_TARGET,
    )
    chain = GaugeMetricFamily(
        "jizuo_tls_chain_not_after_timestamp_seconds",
        "When the first certificate of the chain that the server sends ends.",
        labels=_TARGET,
    )
    trusted = GaugeMetricFamily(
        "jizuo_tls_certificate_trusted",
        "Whether the chain leads to an authority that this machine trusts, all of it in force.",
        labels=_TARGET,
    )
    named = GaugeMetricFamily(
        "jizuo_tls_certificate_named", "Whether the certificate is for the endpoint's name.", labels=_TARGET
    )
    about = InfoMetricFamily("jizuo_tls", "The version and the cipher suite of the handshake.")
    suites = GaugeMetricFamily(
        "jizuo_tls_chinese_suite_offered",
        "Whether the server takes a suite of TLCP (GB/T 38636) or RFC 8998.",
        labels=[*_TARGET, "protocol", "suite"],
    )
    tlcp = GaugeMetricFamily(
        "jizuo_tlcp_certificate_not_after_timestamp_seconds",
        "When a certificate of TLCP's pair ends.",
        labels=[*_TARGET, "usage"],
    )
    for one in shown:
        success.add_metric(one.key, 1 if one.certificate else 0)
        if certificate := one.certificate:
            end.add_metric(one.key, certificate.not_after)
            chain.add_metric(one.key, certificate.chain_end)
            trusted.add_metric(one.key, certificate.is_trusted)
            named.add_metric(one.key, certificate.is_named)
            labels = dict(zip(_TARGET, one.key, strict=True))
            about.add_metric([], {**labels, "version": certificate.version, "suite": certificate.suite})
        for protocol, offered in (one.offered or {}).items():
            for suite, taken in offered.suites.items():
                suites.add_metric([*one.key, protocol, suite], taken)
        for usage, moment in zip(("sign", "encrypt"), one.tlcp_ends, strict=False):
            tlcp.add_metric([*one.key, usage], moment)
    return [success, end, chain, trusted, named, about, suites, tlcp]


def _readiness_metrics(records: Sequence[Record], where: Mapping[str, Place]) -> list[Metric]:
    labels = ["subject", "unit", "part"]
    met = GaugeMetricFamily(
        "jizuo_ipv6_readiness_met",
        "Whether a part of the IPv6 assessment is met; no series where it could not be told.",
        labels=labels,
    )
    delays = GaugeMetricFamily(
        "jizuo_ipv6_degradation_ratio",
        "By how much a delay is worse over IPv6 than over IPv4: (v6 - v4) / v4.",
        labels=labels,
    )
    score = GaugeMetricFamily(
        "jizuo_ipv6_readiness_ratio",
        "The share of the assessment's weight that a system meets.",
        labels=labels[:2],
    )
    units = GaugeMetricFamily(
        "jizuo_ipv6_readiness_unit_systems",
        "A unit's systems by whether they meet all of the IPv6 assessment.",
        labels=["unit", "ready"],
    )
    ready: dict[str, list[bool]] = defaultdict(list)
    for record in records:
        unit = where.get(record.subject, UNKNOWN_PLACE).unit
        part = record.check.removeprefix("ipv6-")
        if part == "score":
            ready[unit].append(record.status is Status.PASS)
            if isinstance(record.value, (int, float)):
                score.add_metric([record.subject, unit], record.value)
            continue
        if record.status is not Status.ERROR:
            met.add_metric([record.subject, unit, part], record.status is Status.PASS)
        if part in ("tcp", "first_byte", "page") and isinstance(record.value, (int, float)):
            delays.add_metric([record.subject, unit, part], record.value)
    for unit, states in sorted(ready.items()):
        for state in (True, False):
            units.add_metric([unit, "yes" if state else "no"], states.count(state))
    return [met, delays, score, units]
