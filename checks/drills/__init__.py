"""Disaster-recovery drills: run for real, measured, always undone, and left as a record."""
