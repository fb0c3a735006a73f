"""Records as metric families: a pure function for each family of checks."""
