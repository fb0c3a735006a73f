"""A county's own watch: a Prometheus in agent mode that writes to the city, and keeps what it cannot write yet."""
