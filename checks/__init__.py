"""Is the city as its inventory says? The independent auditor: it shares only the inventory with deploy."""
