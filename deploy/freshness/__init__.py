"""What hosts say of their own certificates and of the logs that reach them, for the node exporter to show."""
