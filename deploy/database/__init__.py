"""Databases: PostgreSQL on the nodes whose policies name it, kept by pgBackRest so that any moment comes back."""
