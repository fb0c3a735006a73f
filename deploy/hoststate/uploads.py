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
    size = sum(path.stat().st_size for path in files.values())
    # Everything after the first command is evaluated when the deploy is carried out, not when it is planned.
    yield StringCommand(
        f"rm -rf {place} && ( umask 022; mkdir -p {shlex.quote(folder)} ) && mkdir -m 700 {place}"
        # pyinfra's transfer rests in /tmp on its way; in the folder the archive stands beside what is in it.
        f" && {_room('/tmp', size)} && {_room(arriving, 2 * size)}"  # noqa: S108
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


def _room(folder: str, size: int) -> str:
    """A command that fails, and says so, when a folder's file system has less than `size` bytes free."""
    place, needed = shlex.quote(folder), size // 1024 + 1024
    return (
        f"{{ free=$(df -Pk {place} | awk 'NR == 2 {{ print $4 }}'); [ \"$free\" -ge {needed} ] || "
        f'{{ echo "no space left: {needed} KiB are needed in" {place} "and $free KiB are free" >&2; exit 1; }}; }}'
    )


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """A file of root's, readable by all, whoever owns it on the controller."""
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    member.mode = 0o644
    return member
