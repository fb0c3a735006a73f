"""Cloud nodes: the systems of the plan that stand on them, served in both address families."""
