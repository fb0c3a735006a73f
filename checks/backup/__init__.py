"""Backups as an auditor sees them: each job's state, each system's policy, grades of recovery, and 3-2-1-1-0."""
