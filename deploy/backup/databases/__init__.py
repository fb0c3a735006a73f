"""Databases in backup jobs: how each engine's own tools are called, as data, and the command lines built from them."""
