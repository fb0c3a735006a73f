"""Which nodes have which role, and in which order roles are deployed."""

from __future__ import annotations

from inventories.records import NodeRole

EVERYWHERE = frozenset(NodeRole)

#: Each role's nodes, in the order in which a new city needs the roles.
ROLES: dict[str, frozenset[NodeRole]] = {
    "mirror": frozenset({NodeRole.OPERATIONS}),
    "base": EVERYWHERE,
    "extranet": EVERYWHERE,
    "private": frozenset({NodeRole.ROUTER}),
    # The node in the other city is the standby: no system of its own, ready to take over those of a lost data centre.
    "cloud": frozenset({NodeRole.CLOUD, NodeRole.OFFSITE}),
    "database": frozenset({NodeRole.CLOUD, NodeRole.BACKUP, NodeRole.OFFSITE}),
    "backup": frozenset({NodeRole.CLOUD, NodeRole.BACKUP, NodeRole.OFFSITE}),
    "operations": frozenset({NodeRole.OPERATIONS}),
    "watch": frozenset({NodeRole.OFFSITE}),
    "county": frozenset({NodeRole.AGENT}),
}
