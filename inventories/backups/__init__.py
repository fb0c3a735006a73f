"""Backups as the inventory has them: policies, the repositories that hold them, and why a system has none."""
