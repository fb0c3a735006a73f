"""Databases' own programs as they run on their hosts: standard library only, Python 3.7 and later.

Shipped as the package `jizuo_database`; it imports nothing of the kit.
"""
