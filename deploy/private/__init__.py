"""Departments' private networks (专用网络区): a routing table each, carried between routers over VXLAN."""
