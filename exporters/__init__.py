"""What operations sees: check records as metrics, rules, Prometheus's files and the status page."""
