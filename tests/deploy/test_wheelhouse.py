"""The kit's wheels: what it needs to run and no more, the same wheel from the same files."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from deploy.operations import wheelhouse
from deploy.operations.wheelhouse import LOCK, WheelhouseError, runtime_names, runtime_requirements


def test_the_runtime_closure_has_what_is_imported_and_no_development_tool() -> None:
    names = runtime_names("jizuo")
    # cffi comes by way of cryptography, by way of paramiko, by way of pyinfra.
    assert {"pyinfra", "netaddr", "ansible-core", "aiohttp", "cffi"} <= names
    assert not {"pytest", "ruff", "mypy", "hypothesis", "import-linter", "setuptools"} & names
    assert "jizuo" not in names


def test_every_requirement_is_locked_with_hashes() -> None:
    lines = runtime_requirements(LOCK.read_text()).splitlines()
    assert len(lines) == len(runtime_names("jizuo"))
    assert all("==" in line and " --hash=sha256:" in line for line in lines)


def test_a_lock_without_a_needed_package_is_refused() -> None:
    lock = LOCK.read_text().replace("\nnetaddr==", "\nnot-netaddr==")
    with pytest.raises(WheelhouseError, match="netaddr"):
        runtime_requirements(lock)


def test_the_same_files_give_the_same_wheel(tmp_path: Path) -> None:
    digests = set()
    for attempt in ("first", "second"):
        place = tmp_path / attempt
        place.mkdir()
        wheelhouse._build(place)
        (wheel,) = place.glob("*.whl")
        digests.add(hashlib.sha256(wheel.read_bytes()).hexdigest())
        names = set(zipfile.ZipFile(wheel).namelist())
    assert len(digests) == 1
    # Data beside the code, in the wheel too: rules, the collector, an inventory to copy.
    for expected in (
        "checks/security/collect.sh",
        "exporters/rules/jizuo-recording.yml",
        "inventories/yichun/divisions.csv",
        "deploy/operations/templates/nginx.conf.j2",
        "jizuo.py",
    ):
        assert expected in names
    assert not any(name.startswith("tests/") or "__pycache__" in name for name in names)


def test_a_release_changes_with_any_wheel() -> None:
    one = wheelhouse.Wheel("jizuo", "0.1.0", "jizuo-0.1.0-py3-none-any.whl", "a" * 64)
    other = wheelhouse.Wheel("jizuo", "0.1.0", "jizuo-0.1.0-py3-none-any.whl", "b" * 64)
    assert wheelhouse.Wheelhouse((one,), {}).release != wheelhouse.Wheelhouse((other,), {}).release
