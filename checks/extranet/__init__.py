"""The audit of the extranet from outside the deploy's code: sessions, routes, planes, reachability, firewalls."""
