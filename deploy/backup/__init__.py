"""Backups: restic from every client to the backup node, copied to the off-site node, verified by restores."""
