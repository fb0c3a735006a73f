"""Drift: where hosts have come to differ from the inventory. A deploy's dry run by a timer, on the controller.

Why there, and not on the operations node: a dry run reads, as root, files that nobody else may read (keys, firewall,
accounts), by commands that differ with every role. A forced command that answered them all would be a root shell, so
that whoever takes the operations node, which every host and browser talks to, would have the city. The controller
holds the deploy key already, and no host can open a connection to it. The audit key of the operations node keeps its
one command; what reaches that node is the record, the way the record of a deploy does.
"""
