"""Root goes on as the account whose files it works on, and leaves none there that this account could not write."""

from __future__ import annotations

import os
from collections.abc import Iterable


def is_anothers(folder: str) -> bool:
    """Whether this is root, and the folder is not root's."""
    return os.geteuid() == 0 and os.stat(folder).st_uid != 0


def become_owner(folder: str, groups: Iterable[int] = ()) -> None:
    """As root, go on as a folder's owner, in its group and in `groups`; whoever else this is stays so."""
    if not is_anothers(folder):
        return
    owner = os.stat(folder)
    os.setgroups([owner.st_gid, *groups])
    os.setgid(owner.st_gid)
    os.setuid(owner.st_uid)


def make_for_owner(folder: str, of: str, mode: int) -> None:
    """Make a folder that is not there, as root for the owner of the folder `of`.

    Raises:
        OSError: it cannot be made.
    """
    try:
        os.makedirs(folder, mode=mode)
    except FileExistsError:
        return
    if is_anothers(of):
        owner = os.stat(of)
        os.chown(folder, owner.st_uid, owner.st_gid)
