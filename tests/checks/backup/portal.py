"""A city of one system with its policy, and the moment at which it is judged."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from inventories.backups.records import BackupPolicy
from inventories.records import HostedBy, System

from ..city import tiny_city

BEIJING = timezone(timedelta(hours=8))
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=BEIJING)
SYSTEM = System(
    id="portal",
    name="门户",
    section="三(一)",
    owners=("bureau",),
    kind="system",
    hosted_by=HostedBy.CITY,
    mlps=3,
    nodes=("cloud-1",),
    rpo=3600,
    rto=900,
)
POLICY = BackupPolicy(
    id="gov",
    systems=("portal",),
    paths=("/srv",),
    schedule="hourly",
    repository="backup-1",
    rpo=3600,
    rto=900,
    owner="bureau",
    copies=("offsite-1",),
)
CITY = tiny_city(systems=[SYSTEM], backups=[POLICY])
