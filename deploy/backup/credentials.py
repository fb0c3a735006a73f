"""What opens a repository: a login at the backup server, and the repository's own password.

Made once on the controller and kept in its secret store; they travel as files on standard input.
"""

from __future__ import annotations

import hashlib

import bcrypt

from deploy.secrets import SecretStore
from inventories.hosts import BACKUP_PORT

#: bcrypt's least cost. It slows down guessing, and nobody guesses 256 random bits; but the server computes it
#: for every request, and restic makes hundreds.
BCRYPT_COST = 4


def login(store: SecretStore, server: str, client: str) -> str:
    """The password of a client's login at a server; the login's name is the client's."""
    return store.password(f"backup-login-{server}-{client}")


def login_line(store: SecretStore, server: str, client: str) -> str:
    """The client's line of the server's htpasswd file (Apache's format, bcrypt)."""
    password = login(store, server, client).encode()
    # A new password needs a new hash; the old one would let nobody in.
    name = f"backup-htpasswd-{server}-{client}-{hashlib.sha256(password).hexdigest()[:12]}"
    made = store.get(name, lambda: bcrypt.hashpw(password, bcrypt.gensalt(BCRYPT_COST, prefix=b"2a")))
    return f"{client}:{made.decode('ascii')}"


def repository_password(store: SecretStore, server: str, client: str, policy: str) -> str:
    """The password that encrypts a policy's repository on a server: another one on each."""
    return store.password(f"backup-repository-{server}-{client}-{policy}")


def repository_url(
    store: SecretStore, server: str, host: str, client: str, policy: str, port: int = BACKUP_PORT
) -> str:
    """Where restic finds the repository, login included: a secret as a whole.

    `host` is the server's name as its certificate has it. The path begins with the login's name, which is
    what `rclone serve restic --private-repos` lets that login reach.
    """
    return f"rest:https://{client}:{login(store, server, client)}@{host}:{port}/{client}/{policy}/"
