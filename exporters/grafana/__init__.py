"""What does Grafana show, where an office has one? Dashboards and provisioning files, generated."""
