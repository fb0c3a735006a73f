"""The mirror's packages: the machine's own apt resolves and fetches them, here from a source of this test's own."""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.operations import closure
from deploy.operations.closure import MirrorError, fetch_closure, load_closure, role_packages

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="this machine has no apt")


class Source:
    """A flat, unsigned apt source with packages that contain nothing."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.stanzas: list[str] = []

    def add(self, name: str, version: str = "1.0", depends: str = "", recommends: str = "") -> Path:
        tree = self.folder / f".{name}"
        (tree / "DEBIAN").mkdir(parents=True)
        control = (
            f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: test <test@example.org>\n"
            f"Description: test\n"
        )
        control += f"Depends: {depends}\n" if depends else ""
        control += f"Recommends: {recommends}\n" if recommends else ""
        (tree / "DEBIAN/control").write_text(control)
        file = self.folder / f"{name}_{version.replace(':', '.')}.deb"
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, file], check=True, capture_output=True
        )
        content = file.read_bytes()
        self.stanzas.append(
            f"{control}Filename: ./{file.name}\nSize: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
        )
        (self.folder / "Packages.gz").write_bytes(gzip.compress("\n".join(self.stanzas).encode()))
        return file


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Source:
    """A source; the image has `base` installed; the cache is this test's own."""
    source = Source(tmp_path / "source")
    image = tmp_path / "image"
    (image / "var/lib/dpkg").mkdir(parents=True)
    (image / "var/lib/dpkg/status").write_text(
        "Package: base\nStatus: install ok installed\nVersion: 1.0\nArchitecture: all\n"
        "Maintainer: test <test@example.org>\nDescription: test\n\n"
    )

    def write_sources(folder: Path) -> tuple[list[Path], Path]:
        listed, options = folder / "machine.list", folder / "99machine"
        listed.write_text(f"deb [trusted=yes] file:{source.folder} ./\n")
        options.write_text("")
        return [listed], options

    monkeypatch.setattr(closure, "CACHE_ROOT", tmp_path / "cache")
    monkeypatch.setattr(closure, "write_sources", write_sources)
    monkeypatch.setattr(closure, "build_image", lambda: image)
    monkeypatch.setattr(closure, "image_key", lambda: "image")
    monkeypatch.setattr(closure, "BOOTSTRAP", ("tool",))
    source.add("base")
    source.add("library", version="1:2.0")
    source.add("luxury")
    source.add("tool")
    source.add("service", depends="base, library", recommends="luxury")
    return source


def test_the_closure_holds_what_is_needed_and_nothing_else(source: Source) -> None:
    folder = fetch_closure(["service", "tool"])
    found = load_closure(folder)
    assert [(package.name, package.version) for package in found.packages] == [
        ("library", "1:2.0"),
        ("service", "1.0"),
        ("tool", "1.0"),
    ]
    assert found.bootstrap == ("tool_1.0_all.deb",)
    assert {path.name for path in (folder / "debs").iterdir()} == {package.file for package in found.packages}
    for package in found.packages:
        content = (folder / "debs" / package.file).read_bytes()
        assert (len(content), hashlib.sha256(content).hexdigest()) == (package.size, package.sha256)


def test_nothing_that_is_kept_names_the_source(source: Source) -> None:
    folder = fetch_closure(["service", "tool"])
    assert sorted(path.name for path in folder.iterdir()) == ["closure.json", "debs"]
    assert str(source.folder) not in (folder / "closure.json").read_text()


def test_what_is_cached_is_not_fetched_again(source: Source) -> None:
    first = fetch_closure(["service", "tool"])
    for file in source.folder.glob("*.deb"):
        file.unlink()
    assert fetch_closure(["tool", "service"]) == first
    # Another list: its packages come from the first folder, as the source has them no more.
    second = fetch_closure(["service"])
    assert second != first
    assert [package.name for package in load_closure(second).packages] == ["library", "service"]


def test_an_added_package_is_all_that_is_fetched(source: Source) -> None:
    fetch_closure(["service", "tool"])
    (source.folder / "service_1.0.deb").unlink()
    source.add("more")
    assert "more" in {
        package.name for package in load_closure(fetch_closure(["service", "tool", "more"])).packages
    }


def test_an_unknown_package_is_named_and_leaves_nothing(source: Source, tmp_path: Path) -> None:
    with pytest.raises(MirrorError, match="no-such-package"):
        fetch_closure(["service", "no-such-package"])
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_package_that_is_not_what_the_index_says_is_refused(source: Source, tmp_path: Path) -> None:
    file = source.folder / "library_1.2.0.deb"
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(MirrorError):
        fetch_closure(["service"])
    assert list((tmp_path / "cache").iterdir()) == []


def test_a_source_that_does_not_answer_is_an_error(source: Source) -> None:
    shutil.rmtree(source.folder)
    with pytest.raises(MirrorError, match=r"source|fetch"):
        fetch_closure(["service"])


def test_what_a_killed_run_left_is_removed_and_what_a_living_one_makes_is_not(
    source: Source, tmp_path: Path
) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    for pid in (dead.pid, os.getpid()):
        (tmp_path / f"cache/mirror-0.building.{pid}.x/debs").mkdir(parents=True)
    fetch_closure(["tool"])
    left = [path.name for path in (tmp_path / "cache").glob("*.building.*")]
    assert left == [f"mirror-0.building.{os.getpid()}.x"]


def test_every_role_s_packages_are_collected() -> None:
    names = role_packages()
    for expected in ("frr", "restic", "prometheus", "nginx", "nftables", "reprepro"):
        assert expected in names
    assert list(names) == sorted(set(names))
