"""With which password does a BGP session authenticate itself (RFC 2385)? One a link, derived from one secret."""

from __future__ import annotations

import base64
import hashlib
import hmac

from deploy.secrets import SecretStore

#: The secret of the controller from which every session's password follows: 3,000 sessions, one file to keep.
MASTER = "bgp-master"


def session_password(store: SecretStore, link: str) -> str:
    """The password of both ends of a link, for both families: 160 bits in letters and digits, 32 characters."""
    master = store.password(MASTER).encode()
    return base64.b32encode(hmac.new(master, link.encode(), hashlib.sha256).digest()[:20]).decode().lower()
