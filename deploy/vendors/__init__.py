"""Routers that are not Linux: Huawei VRP and H3C Comware, configured from the same topology.

No real device was at hand. The syntax follows the vendors' command references, each construct naming its manual
in the templates; the dialogue is tested against an SSH server that behaves as those manuals say. What a real
device displays otherwise than it was told shows as a difference that stays, never as a push that is claimed done.
"""
