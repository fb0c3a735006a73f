"""Many or large files for a host: one stream, only what it lacks, whole files or none."""

from __future__ import annotations

import shlex
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from pyinfra.api import FileUploadCommand, StringCommand


def upload(folder: str, files: Mapping[str, Path]) -> Iterator[StringCommand | FileUploadCommand]:
    """Commands, for use inside an operation, that put files of the controller into a folder of the host.

    They travel as one tar over one SFTP stream; each appears in `folder` by a rename, so that it is there
    whole or not at all. What else is in the folder stays.

    Args:
        folder: absolute path on the host, made when missing (0755).
        files: the files' names in `folder`, without slashes, and where they are on the controller.
    """
    arriving = f"{folder}/.arriving"
    place, archive = shlex.quote(arriving), shlex.quote(f"{arriving}/files.tar")
    # Everything after the first command is evaluated when the deploy is carried out, not when it is planned.
    yield StringCommand(
        f"rm -rf {place} && ( umask 022; mkdir -p {shlex.quote(folder)} ) && mkdir -m 700 {place}"
    )
    with tempfile.TemporaryFile(prefix="jizuo-upload-") as stream:
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for name, path in sorted(files.items()):
                tar.add(path, name, recursive=False, filter=_plain)
        stream.seek(0)
        yield FileUploadCommand(stream, f"{arriving}/files.tar")
    yield StringCommand(
        f"cd {place} && tar -xf {archive} && rm -f {archive} && mv -f -- ./* .. && cd / && rmdir {place}"
    )


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """A file of root's, readable by all, whoever owns it on the controller."""
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = 0o644
    return member
