"""The operations node: the package mirror, monitoring, name service, and this kit itself as services."""
