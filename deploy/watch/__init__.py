"""The second watch: a Prometheus in the other city that sees the first one, and the data centre, fail."""
