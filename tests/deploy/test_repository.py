"""The repository as its fact sees it: the fact's command runs here, on a repository in a folder of this test."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.mirror_key import mirror_private_key
from deploy.operations.closure import Package
from deploy.operations.repository import BASE, ROOT, Published, PublishedPackages, publish_script
from deploy.secrets import SecretStore


class Repository:
    """What reprepro exports: index, signed index, pool."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.base = root.parent / "base"
        self.base.mkdir()
        self.home = root.parent / "gnupg"
        self.home.mkdir(mode=0o700)
        self.gpg("--import", input=mirror_private_key(SecretStore(root.parent / "secrets")))
        (self.base / "public.gpg").write_bytes(self.gpg("--export"))
        self.lists = root / "dists/bookworm/main/binary-amd64"
        self.lists.mkdir(parents=True)
        self.stanzas: list[str] = []

    def add(self, name: str) -> Path:
        path = self.root / f"pool/main/{name[0]}/{name}/{name}_1.0_amd64.deb"
        path.parent.mkdir(parents=True)
        path.write_text(name)
        sha256 = hashlib.sha256(name.encode()).hexdigest()
        self.stanzas.append(
            f"Package: {name}\nVersion: 1.0\nFilename: {path.relative_to(self.root)}\nSize: {len(name)}\n"
            f"SHA256: {sha256}\nDescription: some\n text\n\n"
        )
        return path

    def gpg(self, *arguments: str, input: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", str(self.home), "--batch", "--quiet", *arguments]
        return subprocess.run(command, input=input, check=True, capture_output=True).stdout

    def close(self) -> None:
        subprocess.run(["gpgconf", "--homedir", str(self.home), "--kill", "all"], check=True)

    def sign(self) -> None:
        text = "".join(self.stanzas)
        (self.lists / "Packages").write_text(text)
        sha256 = hashlib.sha256(text.encode()).hexdigest()
        release = (
            "Codename: bookworm\nDescription: signed by us\nSHA256:\n"
            f" {sha256} {len(text)} main/binary-amd64/Packages\n"
        )
        signed = self.gpg("--clear-sign", input=release.encode())
        (self.root / "dists/bookworm/InRelease").write_bytes(signed)

    def look(self) -> Published:
        fact = PublishedPackages()
        command = fact.command().replace(ROOT, str(self.root)).replace(BASE, str(self.base))
        done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=True)
        return fact.process(done.stdout.splitlines())


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[Repository]:
    repository = Repository(tmp_path / "mirror")
    repository.add("chrony")
    repository.add("frr")
    repository.sign()
    yield repository
    repository.close()


def test_a_whole_repository(repository: Repository) -> None:
    found = repository.look()
    assert set(found.whole.values()) == {"chrony", "frr"}
    assert hashlib.sha256(b"frr").hexdigest() in found.whole
    assert (found.signed, found.damaged, found.description) == (True, frozenset(), "signed by us")


def test_a_lost_or_cut_file_is_damaged(repository: Repository) -> None:
    file = next(repository.root.glob("pool/**/frr_*.deb"))
    file.write_text("fr")
    assert (repository.look().damaged, set(repository.look().whole.values())) == ({"frr"}, {"chrony"})
    file.unlink()
    assert repository.look().damaged == {"frr"}


def test_an_index_that_is_not_the_signed_one(repository: Repository) -> None:
    (repository.lists / "Packages").write_text("".join(repository.stanzas[:1]))
    assert not repository.look().signed
    (repository.root / "dists/bookworm/InRelease").unlink()
    assert not repository.look().signed


def test_a_signature_that_is_broken_or_not_ours(repository: Repository) -> None:
    release = repository.root / "dists/bookworm/InRelease"
    genuine = release.read_text()
    release.write_text(genuine.replace("signed by us", "signed by me"))
    assert not repository.look().signed
    release.write_text(genuine)
    assert repository.look().signed
    (repository.base / "public.gpg").unlink()
    assert not repository.look().signed


def test_no_repository_at_all(tmp_path: Path) -> None:
    empty = Repository(tmp_path / "mirror")
    empty.close()
    empty.root.rename(tmp_path / "elsewhere")
    found = empty.look()
    assert (found.whole, found.signed, found.description) == ({}, False, "")


def test_the_script_is_shell_and_quotes_what_it_is_given() -> None:
    hostile = Package("x; touch /tmp/x", "1", "all", "x$(id) y_1_all.deb", 1, "0" * 64)
    script = publish_script([hostile], replaced=[hostile.name], install=[hostile.file])
    assert subprocess.run(["/bin/sh", "-n"], input=script, text=True, check=False).returncode == 0
    assert "in_repository remove bookworm 'x; touch /tmp/x'\n" in script
    assert "set -- './x$(id) y_1_all.deb'\n" in script
