"""The backup job as it runs on a client: Python 3.7 and later (Kylin V10 has 3.7), its standard library, and xxhash.

Where xxhash is missing it takes its digests with the standard library's SHA-256 (:mod:`.digests`).
Shipped to the host as the package `jizuo_backup`; it imports nothing of the kit. File names are bytes
wherever they come from a disk (they need not be UTF-8), which pathlib cannot hold: hence os.path throughout.
"""
