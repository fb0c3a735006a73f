"""This kit as wheels: itself, built from its own files, and the locked packages that it needs to run.

Development tools stay out: what is needed follows from the installed metadata of this very environment, and
`requirements.lock` says which file of each package may be used.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import re
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
from packaging.markers import Marker, default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from deploy.lab.places import CACHE_ROOT
from deploy.lab.run import LabError, run

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements.lock"
#: What the kit's own wheel is made of, below :data:`ROOT`.
SOURCES = ("inventories", "deploy", "checks", "exporters", "jizuo.py", "pyproject.toml", "README.md")
#: The Python and the C library of the operations node's release, Debian 12.
PYTHON, GLIBC_MINOR = "3.11", 36
#: How many kits, and how many sets of wheels, the cache keeps.
KEPT = 6


class WheelhouseError(LabError):
    """The wheels cannot be had; the message says which, why, and the way out."""


class Wheel(msgspec.Struct, frozen=True, order=True, forbid_unknown_fields=True):
    """A wheel: package, version, file name and SHA-256."""

    name: str
    version: str
    file: str
    sha256: str

    @property
    def requirement(self) -> str:
        """A line of a requirements file that admits this very file and no other."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


class Wheelhouse(msgspec.Struct, frozen=True):
    """Every wheel of the kit, with its place on this machine; `release` is a digest of them all."""

    wheels: tuple[Wheel, ...]
    paths: dict[str, Path]

    @property
    def release(self) -> str:
        lines = "\n".join(sorted(wheel.requirement for wheel in self.wheels))
        return hashlib.sha256(lines.encode()).hexdigest()[:16]


_MAKING = threading.Lock()


def make_wheelhouse() -> Wheelhouse:
    """Build the kit's wheel and fetch the others, unless they are cached.

    Raises:
        WheelhouseError: a locked package is missing or cannot be had, or this is an installed kit without
            its sources.
    """
    if not LOCK.exists():
        raise WheelhouseError(
            f"{LOCK} is missing: the kit is deployed from its own checkout, not from an installed one"
        )
    requirements = runtime_requirements(LOCK.read_text(encoding="utf-8"))
    recipe = (Path(__file__).read_bytes(), requirements.encode(), os.uname().machine.encode())
    folders = [
        _made(f"wheelhouse-{_digest(*recipe)}", lambda place: _fetch(requirements, place)),
        _made(f"kit-{_digest(*_source_parts())}", _build),
    ]
    paths = {path.name: path for folder in folders for path in sorted(folder.glob("*.whl"))}
    return Wheelhouse(tuple(sorted(map(_describe, paths.values()))), paths)


def runtime_requirements(lock: str) -> str:
    """The lines of a lock file that the kit needs to run, with their hashes.

    Raises:
        WheelhouseError: the lock file lacks one.
    """
    locked: dict[str, str] = {}
    for line in lock.replace("\\\n", " ").splitlines():
        if match := re.match(r"([A-Za-z0-9._-]+)(\[[^]]*\])?==", line):
            locked[canonicalize_name(match[1])] = re.sub(r"\s+", " ", line.strip())
    names = runtime_names("jizuo")
    if missing := names - set(locked):
        raise WheelhouseError(
            f"requirements.lock lacks {', '.join(sorted(missing))}; lock the dependencies again"
        )
    return "\n".join(locked[name] for name in sorted(names)) + "\n"


def runtime_names(distribution: str) -> set[str]:
    """The packages that a distribution needs to run on the operations node, those that they need included."""
    environment = {**_markers(), "python_version": PYTHON, "python_full_version": f"{PYTHON}.2"}
    seen: set[tuple[str, str]] = set()
    todo = [(distribution, "")]
    while todo:
        name, extra = todo.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        for text in importlib.metadata.requires(name) or ():
            required = Requirement(text)
            if _holds(required.marker, {**environment, "extra": extra}):
                todo += [(canonicalize_name(required.name), wanted) for wanted in ("", *required.extras)]
    return {name for name, _ in seen} - {distribution}


def _markers() -> dict[str, str]:
    return {name: str(value) for name, value in default_environment().items()}


def _holds(marker: Marker | None, environment: dict[str, str]) -> bool:
    return marker is None or marker.evaluate(environment)


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8) + part)
    return digest.hexdigest()[:16]


def _source_files() -> list[Path]:
    found: list[Path] = []
    for name in SOURCES:
        path = ROOT / name
        found += [path] if path.is_file() else path.rglob("*")
    return sorted(path for path in found if path.is_file() and not _generated(path.relative_to(ROOT)))


def _generated(path: Path) -> bool:
    return any(part == "__pycache__" or part.startswith(".") for part in path.parts)


def _source_parts() -> list[bytes]:
    parts = [Path(__file__).read_bytes()]
    for path in _source_files():
        parts += [str(path.relative_to(ROOT)).encode(), path.read_bytes()]
    return parts


def _made(name: str, make: Callable[[Path], None]) -> Path:
    """A folder of the cache, made beside its place and moved there whole."""
    folder = CACHE_ROOT / name
    with _MAKING:
        if folder.is_dir():
            return folder
        CACHE_ROOT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="jizuo-wheels-") as scratch:
            make(Path(scratch))
            arriving = Path(tempfile.mkdtemp(prefix=f"{name}.", dir=CACHE_ROOT))
            for wheel in Path(scratch).glob("*.whl"):
                shutil.copy(wheel, arriving)
            arriving.chmod(0o755)
            try:
                arriving.rename(folder)
            except OSError:  # another process was first; what it made is the same
                shutil.rmtree(arriving)
    _forget_old(name.split("-")[0])
    return folder


def _forget_old(kind: str) -> None:
    """Leave the newest :data:`KEPT` folders of a kind: a kit that is worked on has many."""
    folders = sorted(CACHE_ROOT.glob(f"{kind}-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in folders[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)


def _fetch(requirements: str, place: Path) -> None:
    """Download wheels for the operations node's Python, whatever Python this is; pip checks every hash."""
    (place / "requirements.txt").write_text(requirements, encoding="utf-8")
    machine = os.uname().machine
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(GLIBC_MINOR, 4, -1)]
    platforms += [f"manylinux2014_{machine}", f"linux_{machine}", "any"]
    target = ["--implementation=cp", f"--python-version={PYTHON}"]
    target += [f"--abi={abi}" for abi in (f"cp{PYTHON.replace('.', '')}", "abi3", "none")]
    target += [f"--platform={platform}" for platform in platforms]
    _pip(
        "download",
        "--no-deps",
        "--require-hashes",
        "--only-binary=:all:",
        *target,
        f"--requirement={place / 'requirements.txt'}",
        f"--dest={place}",
    )


def _build(place: Path) -> None:
    """Build the kit's wheel from a copy of its files: the same files give the same wheel."""
    copy = place / "source"
    for path in _source_files():
        target = copy / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
        target.chmod(0o755 if os.access(path, os.X_OK) else 0o644)
    _pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", f"--wheel-dir={place}", str(copy))


def _pip(*arguments: str) -> None:
    # SOURCE_DATE_EPOCH: 1 January 2020, the time of every file in the wheel (reproducible-builds.org).
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1577836800", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        run([sys.executable, "-m", "pip", "--quiet", *arguments], timeout=600, env=environment)
    except LabError as error:
        raise WheelhouseError(f"the kit's wheels cannot be made: {error}") from None


def _describe(path: Path) -> Wheel:
    name, version = path.name.split("-")[:2]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return Wheel(canonicalize_name(name), version, path.name, digest)
