"""The backup job as it runs on a client: standard library only, Python 3.7 and later (Kylin V10 has 3.7).

Shipped to the host as the package `jizuo_backup`; it imports nothing of the kit. File names are bytes
wherever they come from a disk (they need not be UTF-8), which pathlib cannot hold: hence os.path throughout.
"""
