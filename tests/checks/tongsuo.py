"""A server of Chinese TLS: Tongsuo (铜锁), the library that the package tongsuopy-crayon carries.

Its Python interface has no TLCP, but the library in it does; it is called over ctypes, in a process of its own.
Run as `python -m tests.checks.tongsuo tlcp|tls13 HOST CIPHERS FOLDER`; it prints its port.
"""

from __future__ import annotations

import ctypes
import importlib.util
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

_PEM = 1  # SSL_FILETYPE_PEM


def is_there() -> bool:
    """Whether the package is installed."""
    return importlib.util.find_spec("tongsuopy") is not None


def make_certificates(folder: Path, days: int = 90) -> None:
    """SM2 keys and certificates, made by OpenSSL: `sign` and `enc`, as TLCP wants two."""
    for name, usage in (("sign", "digitalSignature"), ("enc", "keyEncipherment,keyAgreement")):
        key, certificate = folder / f"{name}.key", folder / f"{name}.crt"
        _openssl("ecparam", "-genkey", "-noout", "-name", "SM2", "-out", str(key))
        _openssl(
            *("req", "-x509", "-new", "-key", str(key), "-sm3", "-days", str(days), "-subj", "/CN=localhost"),
            *("-addext", f"keyUsage=critical,{usage}", "-out", str(certificate)),
        )


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def _library() -> Any:
    spec = importlib.util.find_spec("tongsuopy.backends._tongsuo")
    assert spec is not None
    library = ctypes.CDLL(spec.origin)
    for name in ("NTLS_server_method", "TLS_server_method", "SSL_CTX_new", "SSL_new"):
        getattr(library, name).restype = ctypes.c_void_p
    return library


def serve(protocol: str, host: str, ciphers: str, folder: Path) -> None:
    """Shake hands with one client after the other, until the process ends."""
    library = _library()

    def done(name: str, *arguments: Any) -> None:
        assert getattr(library, name)(context, *arguments) == 1, name

    method = library.NTLS_server_method if protocol == "tlcp" else library.TLS_server_method
    context = ctypes.c_void_p(library.SSL_CTX_new(ctypes.c_void_p(method())))
    if protocol == "tlcp":
        library.SSL_CTX_enable_ntls(context)
        for kind in ("sign", "enc"):
            done(f"SSL_CTX_use_{kind}_certificate_file", str(folder / f"{kind}.crt").encode(), _PEM)
            done(f"SSL_CTX_use_{kind}_PrivateKey_file", str(folder / f"{kind}.key").encode(), _PEM)
        done("SSL_CTX_set_cipher_list", ciphers.encode())
    else:
        done("SSL_CTX_use_certificate_file", str(folder / "sign.crt").encode(), _PEM)
        done("SSL_CTX_use_PrivateKey_file", str(folder / "sign.key").encode(), _PEM)
        done("SSL_CTX_set_ciphersuites", ciphers.encode())
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listening:
        print(listening.getsockname()[1], flush=True)
        while True:
            connection, _ = listening.accept()
            with connection:
                state = ctypes.c_void_p(library.SSL_new(context))
                library.SSL_set_fd(state, connection.fileno())
                library.SSL_accept(state)
                library.SSL_free(state)


if __name__ == "__main__":
    serve(sys.argv[1], sys.argv[2], sys.argv[3], Path(sys.argv[4]))
