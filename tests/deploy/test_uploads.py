"""Uploads: the commands run for real, here, with a copy in place of the transfer."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
from pyinfra.api import FileUploadCommand

from deploy.hoststate.uploads import upload


def carry_out(commands: Any) -> None:
    for command in commands:
        if isinstance(command, FileUploadCommand):
            Path(command.dest).write_bytes(command.src.read())  # type: ignore[union-attr]
        else:
            subprocess.run(["/bin/sh", "-c", command.get_raw_value()], check=True)


def test_files_arrive_whole_beside_what_is_there(tmp_path: Path) -> None:
    target = tmp_path / "a folder/below"
    target.mkdir(parents=True)
    (target / "kept").write_text("kept")
    source = tmp_path / "source"
    source.write_bytes(bytes(range(256)) * 1000)
    source.chmod(0o600)
    carry_out(upload(str(target), {"one.deb": source, "-two $(id)": source}))
    assert sorted(path.name for path in target.iterdir()) == ["-two $(id)", "kept", "one.deb"]
    assert (target / "one.deb").read_bytes() == source.read_bytes()
    assert (target / "one.deb").stat().st_mode & 0o777 == 0o644


def test_what_an_interrupted_upload_left_is_gone_after_the_next(tmp_path: Path) -> None:
    target, source = tmp_path / "target", tmp_path / "source"
    source.write_text("content")
    commands = upload(str(target), {"file": source})
    subprocess.run(["/bin/sh", "-c", next(commands).get_raw_value()], check=True)  # type: ignore[union-attr]
    (target / ".arriving/part").write_text("half")
    carry_out(upload(str(target), {"file": source}))
    assert [path.name for path in target.iterdir()] == ["file"]


def test_a_file_system_that_is_too_small_is_named_before_anything_is_sent(tmp_path: Path) -> None:
    target, source = tmp_path / "target", tmp_path / "source"
    with source.open("wb") as file:
        file.truncate(1 << 42)  # 4 TiB that take no space here
    first = next(upload(str(target), {"file": source}))
    done = subprocess.run(
        ["/bin/sh", "-c", first.get_raw_value()],  # type: ignore[union-attr]
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no space left: 4294968320 KiB are needed in /tmp and " in done.stderr


def test_a_broken_archive_changes_nothing(tmp_path: Path) -> None:
    target, source = tmp_path / "target", tmp_path / "source"
    source.write_bytes(b"x" * 100_000)
    commands = list(upload(str(target), {"file": source}))
    subprocess.run(["/bin/sh", "-c", commands[0].get_raw_value()], check=True)  # type: ignore[union-attr]
    (target / ".arriving/files.tar").write_bytes(b"\0" * 100 + b"not a tar" * 100)
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run(
            ["/bin/sh", "-c", commands[2].get_raw_value()],  # type: ignore[union-attr]
            check=True,
            stderr=subprocess.DEVNULL,
        )
    assert not (target / "file").exists()
