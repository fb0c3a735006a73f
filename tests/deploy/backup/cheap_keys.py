"""Makes restic's own key of a test's repository cheap to derive from its password.

restic picks parameters of scrypt that take this machine half a second, and derives the key again in every run: most of
what these tests did was that. The master key, and all that is encrypted with it, stay as they were; only the file that
has it behind the password is written anew, with the cheapest parameters that restic takes. No deploy does this.

The format is restic's (doc/design.rst, "Keys, Encryption and MAC"): AES-256 in counter mode, Poly1305-AES.
"""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.poly1305 import Poly1305

#: scrypt's cost that a test's key has; restic picks 32768 and more.
COST = 2
NONCE, MAC = 16, 16


def make_cheap(repository: Path, password: str) -> None:
    """Replace every key file of the repository by one for the same password with a low cost.

    Raises:
        cryptography.exceptions.InvalidSignature: the password is another one.
    """
    for path in list((repository / "keys").iterdir()):
        key = json.loads(path.read_text())
        master = _opened(_derived(key, password), base64.b64decode(key["data"]))
        key.update(N=COST, r=1, p=1)
        key["data"] = base64.b64encode(_sealed(_derived(key, password), master)).decode()
        content = json.dumps(key).encode()
        path.unlink()
        cheap = path.with_name(hashlib.sha256(content).hexdigest())
        cheap.write_bytes(content)
        cheap.chmod(0o600)


def _derived(key: dict[str, object], password: str) -> bytes:
    """64 bytes: of the encryption, of Poly1305's AES, of Poly1305's r."""
    n, r, p = (int(str(key[name])) for name in ("N", "r", "p"))
    salt = base64.b64decode(str(key["salt"]))
    return hashlib.scrypt(password.encode(), salt=salt, n=n, r=r, p=p, maxmem=2**30, dklen=64)


def _opened(key: bytes, sealed: bytes) -> bytes:
    nonce, ciphertext, mac = sealed[:NONCE], sealed[NONCE:-MAC], sealed[-MAC:]
    Poly1305.verify_tag(_mac_key(key, nonce), ciphertext, mac)
    return _counter(key, nonce, ciphertext)


def _sealed(key: bytes, content: bytes) -> bytes:
    nonce = hashlib.sha256(key).digest()[:NONCE]  # the key is used once
    ciphertext = _counter(key, nonce, content)
    return nonce + ciphertext + Poly1305.generate_tag(_mac_key(key, nonce), ciphertext)


def _counter(key: bytes, nonce: bytes, content: bytes) -> bytes:
    return Cipher(algorithms.AES(key[:32]), modes.CTR(nonce)).encryptor().update(content)


def _mac_key(key: bytes, nonce: bytes) -> bytes:
    """Poly1305-AES: r, and the nonce encrypted (Bernstein 2005)."""
    block = Cipher(algorithms.AES(key[32:48]), modes.ECB())  # one block, as that paper has it
    return key[48:64] + block.encryptor().update(nonce)
