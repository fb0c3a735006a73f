"""Which Debian packages the mirror holds: all that the roles install and all that those need, fetched once.

The controller's own apt does the work, with the machine's own package sources, keys and proxy, but on the
package database of the hosts' base image: what it would install there is what the mirror must have. Nothing
of the sources' names goes into what is shipped.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import pkgutil
import re
import shutil
import tempfile
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

import deploy
from deploy.lab.image import build_image, image_key, write_sources
from deploy.lab.places import CACHE_ROOT
from deploy.lab.run import LabError, run

#: What a bare host needs to become the mirror, before there is a mirror that it could install from.
BOOTSTRAP = ("reprepro", "gnupg")


class Package(msgspec.Struct, frozen=True, order=True, forbid_unknown_fields=True):
    """A binary package as its file says it; `size` in bytes."""

    name: str
    version: str
    architecture: str
    file: str
    size: int
    sha256: str


class Closure(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the mirror shall hold; `bootstrap` names the files that make a bare host the mirror."""

    architecture: str
    packages: tuple[Package, ...]
    bootstrap: tuple[str, ...]


class MirrorError(LabError):
    """The packages cannot be had; the message says which, why, and the way out."""


def role_packages() -> tuple[str, ...]:
    """The names of all packages that any role installs: `PACKAGES` of each `deploy/*/role.py`, sorted."""
    names = set(BOOTSTRAP)
    for found in pkgutil.iter_modules(deploy.__path__, "deploy."):
        if found.ispkg and importlib.util.find_spec(f"{found.name}.role"):
            names.update(importlib.import_module(f"{found.name}.role").PACKAGES)
    return tuple(sorted(names))


def closure_folder(names: Sequence[str]) -> Path:
    """Where the packages of `names` stand, fetched or not: a function of image, names and this recipe."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    for part in (image_key(), *sorted(names), *BOOTSTRAP):
        digest.update(part.encode() + b"\0")
    return CACHE_ROOT / f"mirror-{digest.hexdigest()[:16]}"


def load_closure(folder: Path) -> Closure:
    """What a folder of :func:`fetch_closure` holds."""
    return msgspec.json.decode((folder / "closure.json").read_bytes(), type=Closure)


_FETCHING = threading.Lock()


def fetch_closure(names: Sequence[str] | None = None) -> Path:
    """Fetch the packages unless they are cached, and return their folder: `closure.json` and `debs/`.

    The folder is made beside its place and moved there whole. Packages that an earlier folder has are not
    fetched again.

    Args:
        names: package names; without them, those of :func:`role_packages`.

    Raises:
        MirrorError: a package does not exist, a source does not answer, or there is no space.
    """
    names = role_packages() if names is None else names
    folder = closure_folder(names)
    with _FETCHING:
        if (folder / "closure.json").exists():
            return folder
        image = build_image()
        folder.parent.mkdir(parents=True, exist_ok=True)
        _remove_dead(folder.parent)
        building = Path(tempfile.mkdtemp(prefix=f"{folder.name}.building.{os.getpid()}.", dir=folder.parent))
        try:
            closure = _fetch(building, image, names)
            (building / "closure.json").write_bytes(msgspec.json.encode(closure))
            shutil.rmtree(building / "apt")
            building.chmod(0o755)
            building.rename(folder)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
    return folder


def _fetch(building: Path, image: Path, names: Sequence[str]) -> Closure:
    apt = _Apt(building / "apt", building / "debs", image)
    apt.run("apt-get", "--quiet", "update")
    uris = apt.would_fetch(names)
    packages = tuple(sorted(apt.describe(uris)))
    bootstrap = tuple(sorted(apt.would_fetch(BOOTSTRAP).keys() & uris.keys()))
    for package in packages:
        _reuse(building.parent, package, building / "debs")
    apt.run("apt-get", "--quiet", "--quiet", "--yes", "--download-only", "install", *names)
    for package in packages:
        fetched = building / "debs" / package.file
        if (uri := uris[package.file]).startswith("file:") and not fetched.exists():
            # apt reads such a source in place.
            shutil.copyfile(unquote(urlsplit(uri).path), fetched)
        if not fetched.is_file() or _sha256(fetched) != package.sha256:
            raise MirrorError(f"{package.file} was fetched damaged or not at all; try again")
    for leftover in ("partial", "lock"):
        path = building / "debs" / leftover
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return Closure(apt.architecture, packages, bootstrap)


class _Apt:
    """The machine's apt on the image's package database, with folders of its own."""

    def __init__(self, folder: Path, archives: Path, image: Path) -> None:
        for path in (folder / "lists/partial", folder / "sources", folder / "empty", archives / "partial"):
            path.mkdir(parents=True)
        sources, self._options = write_sources(folder)
        for source in sources:
            source.rename(folder / "sources" / source.name)
        shutil.copy(image / "var/lib/dpkg/status", folder / "status")
        self._folder = folder
        self._environment = {**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        self._settings = {
            "Dir::State": folder,
            "Dir::State::lists": folder / "lists",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder,
            "Dir::Cache::archives": archives,
            "Dir::Etc::sourcelist": "/dev/null",
            "Dir::Etc::sourceparts": folder / "sources",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": folder / "empty",
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",
            "Acquire::Languages": "none",
            "Acquire::Retries": "3",
            # The locks are this folder's, which nobody else knows.
            "Debug::NoLocking": "true",
        }
        self.architecture = run(["dpkg", "--print-architecture"]).stdout.strip()

    def run(self, program: str, *arguments: str) -> str:
        settings = [f"--option={name}={value}" for name, value in self._settings.items()]
        try:
            done = run([program, *settings, *arguments], timeout=900, env=self._environment)
        except LabError as error:
            words = str(error).replace(str(self._folder), "")
            raise MirrorError(
                f"the mirror's packages cannot be fetched from this machine's sources: {words}"
            ) from None
        if (
            program == "apt-get"
            and "update" in arguments
            and (missed := re.findall(r"^W: .*", done.stderr, re.M))
        ):
            raise MirrorError(f"a package source did not answer: {' | '.join(missed)}")
        return done.stdout

    def would_fetch(self, names: Iterable[str]) -> dict[str, str]:
        """The files that installing `names` on the image takes, as apt names them in its archive, and their URIs."""
        printed = self.run("apt-get", "--quiet", "--quiet", "--yes", "--print-uris", "install", *names)
        rows = (line.split() for line in printed.splitlines() if line.startswith("'"))
        return {file: uri.strip("'") for uri, file, *_ in rows}

    def describe(self, files: Iterable[str]) -> list[Package]:
        """What the sources' signed indices say of files."""
        wanted = {}
        for file in files:
            name, version, architecture = map(unquote, file.removesuffix(".deb").split("_"))
            wanted[name, version, architecture] = file
        printed = self.run("apt-cache", "show", *(f"{name}={version}" for name, version, _ in wanted))
        found = {}
        for stanza in printed.split("\n\n"):
            fields = dict(re.findall(r"^(Package|Version|Architecture|Size|SHA256): (.*)$", stanza, re.M))
            if fields:
                key = (fields["Package"], fields["Version"], fields["Architecture"])
                found[key] = Package(*key, wanted.get(key, ""), int(fields["Size"]), fields["SHA256"])
        if lost := [file for key, file in wanted.items() if key not in found]:
            raise MirrorError(f"the sources' indices do not describe {', '.join(lost)}")
        return [found[key] for key in wanted]


def _reuse(cache: Path, package: Package, debs: Path) -> None:
    """Link a package that an earlier closure holds whole."""
    for candidate in cache.glob("mirror-*/debs"):
        path = candidate / package.file
        if candidate != debs and path.is_file() and _sha256(path) == package.sha256:
            os.link(path, debs / package.file)
            return


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove_dead(cache: Path) -> None:
    """Remove what a fetch that was killed left behind."""
    for stale in cache.glob("mirror-*.building.*"):
        pid = stale.name.split(".building.")[1].split(".")[0]
        if not Path("/proc", pid).exists():
            shutil.rmtree(stale, ignore_errors=True)
