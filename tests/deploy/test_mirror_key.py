"""The mirror's signing key: made once, private at every moment, and accepted by gpgv as apt uses it."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from deploy.mirror_key import PRIVATE, mirror_private_key, mirror_public_key
from deploy.secrets import SecretStore


def test_the_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    first = mirror_public_key(SecretStore(tmp_path / "secrets"))
    assert first.startswith("-----BEGIN PGP PUBLIC KEY BLOCK-----")
    assert mirror_public_key(SecretStore(tmp_path / "secrets")) == first
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "secrets").iterdir()} == {0o600}


def test_hosts_that_are_prepared_at_the_same_time_get_the_same_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: mirror_public_key(SecretStore(tmp_path / "secrets")), range(8)))
    assert len(set(keys)) == 1
    assert sorted(path.name for path in (tmp_path / "secrets").iterdir()) == [
        PRIVATE,
        "mirror-signing-key.pub.asc",
    ]


def test_what_the_private_key_signs_the_public_key_verifies(tmp_path: Path) -> None:
    store = SecretStore(tmp_path / "secrets")
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    gpg = ["gpg", "--homedir", str(home), "--batch", "--quiet"]
    try:
        subprocess.run([*gpg, "--import"], input=mirror_private_key(store), check=True)
        signed = subprocess.run(
            [*gpg, "--clear-sign"], input=b"Suite: bookworm\n", check=True, capture_output=True
        )
    finally:
        subprocess.run(["gpgconf", "--homedir", str(home), "--kill", "gpg-agent"], check=True)
    keyring = tmp_path / "keyring.gpg"
    subprocess.run(
        ["gpg", "--dearmor", "-o", str(keyring)], input=mirror_public_key(store).encode(), check=True
    )
    gpgv = ["gpgv", "--keyring", str(keyring)]
    assert subprocess.run(gpgv, input=signed.stdout, check=False, capture_output=True).returncode == 0
    altered = signed.stdout.replace(b"Suite: bookworm", b"Suite: bookwarm")
    assert subprocess.run(gpgv, input=altered, check=False, capture_output=True).returncode != 0
