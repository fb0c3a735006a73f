"""The whole city: every role on the hosts that have it, in the order in which a new city needs them.

Run as it stands: `pyinfra inventories/lab/inventory.py deploy/site.py`, or through `jizuo deploy`, which can
choose roles (`JIZUO_ROLES`, separated by commas).
"""

from __future__ import annotations

import os

from deploy.backup.role import backup
from deploy.base.role import base
from deploy.cloud.role import cloud
from deploy.county.role import county
from deploy.database.role import database
from deploy.extranet.role import extranet
from deploy.here import here
from deploy.operations.mirror_role import mirror
from deploy.operations.role import operations
from deploy.private.role import private
from deploy.roles import ROLES
from deploy.watch.role import watch


def has(role: str) -> bool:
    """Whether this host has the role, and the role is among those that `JIZUO_ROLES` names (none: all)."""
    wanted = [name for name in os.environ.get("JIZUO_ROLES", "").split(",") if name]
    return here().role in ROLES[role] and (not wanted or role in wanted)


# One line a role: pyinfra orders operations by the lines that they are called from.
if has("mirror"):
    mirror()
if has("base"):
    base()
if has("extranet"):
    extranet()
if has("private"):
    private()
if has("cloud"):
    cloud()
if has("database"):
    database()
if has("backup"):
    backup()
if has("operations"):
    operations()
if has("watch"):
    watch()
if has("county"):
    county()
