"""The deploy of operations: monitoring, name service, and this kit itself as services."""

from __future__ import annotations

from deploy.operations.mirror_role import MIRROR_PACKAGES

#: What operations installs; the mirror must hold these.
PACKAGES = (*MIRROR_PACKAGES, "prometheus", "prometheus-alertmanager", "nsd", "python3-venv")
