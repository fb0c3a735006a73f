"""The deploy that pyinfra runs for a recovery on another node; :mod:`deploy.backup.recovery` says how."""

from __future__ import annotations

from deploy.backup.recovery import recover

recover()
