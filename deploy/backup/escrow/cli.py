"""The commands `jizuo backup escrow make` and `verify`: hand the recovery kit out, and see whether it still holds."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn
from zoneinfo import ZoneInfo

import click
import msgspec

from deploy.backup.escrow.kit import (
    ExistingSecrets,
    Kit,
    KitError,
    contents,
    describe,
    differences,
    packed,
    read_description,
    unpacked,
)
from deploy.backup.escrow.sealing import (
    SealError,
    open_by_identity,
    open_by_passphrase,
    seal,
    seal_by_passphrase,
)
from deploy.lab.keys import private_write
from deploy.pyinfra_inventory import deployed_city
from deploy.secrets import StateError, state_folder
from inventories.allocation import PlanError
from inventories.cli import load_or_exit
from inventories.hosts import host_data
from inventories.plan import build_plan

#: Programs that may go along are read whole into memory, with the rest of the kit.
_LARGEST_PROGRAM = 200 * 1024**2

path_argument = click.argument("path", type=click.Path(path_type=Path))
passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, allow_dash=True),
    metavar="FILE",
    help="A file whose first line is the passphrase; - is standard input.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="For programs.")


class Escrow(click.Group):
    """Turns what went wrong into one clear line and exit code 1."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (KitError, SealError, StateError, PlanError) as error:
            _fail(str(error))
        except OSError as error:
            _fail(f"{error.filename}: {error.strerror}")


@click.group(
    cls=Escrow,
    epilog="""\b
Examples:
  age-keygen -o custodian.key     # prints the public key; keep the file away
  jizuo backup escrow make inventories/lab --recipient age1... \\
      --recipient age1... --out kit.age
  jizuo backup escrow verify inventories/lab kit.age --identity custodian.key

\b
The kit holds, encrypted by age (age-encryption.org): every repository's
address in IPv4 and IPv6, login and password, the certificate authority, which
system is where, a restore script, and instructions in Chinese and English.""",
)
def escrow() -> None:
    """The recovery kit: restore with it alone, on a machine that knows nothing else."""


@escrow.command(
    epilog="""\b
Examples:
  jizuo backup escrow make inventories/lab --recipient age1... --out kit.age
  jizuo backup escrow make inventories/lab --out kit.age \\
      --passphrase-file - --include /usr/bin/restic

\b
Make a new one whenever a policy, a node's address or a password changes;
`escrow verify` says whether that is so. Keep it away from the data centre,
and the private key or passphrase away from the kit."""
)
@path_argument
@click.option(
    "--recipient",
    "recipients",
    multiple=True,
    metavar="KEY",
    help="A public key (age1..., ssh-ed25519 ...) that opens it; may be given again.",
)
@passphrase_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="The kit; must not be there yet.",
)
@click.option(
    "--include",
    "programs",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="A program to put in, as restic.",
)
@json_option
def make(
    path: Path,
    recipients: tuple[str, ...],
    passphrase_file: Path | None,
    out: Path,
    programs: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Write the recovery kit of the city in PATH, for the holders of keys or of a passphrase."""
    if bool(recipients) == bool(passphrase_file):
        raise click.UsageError("say who can open it: either --recipient KEY, or --passphrase-file FILE")
    if out.exists():
        _fail(f"{out} is there: an older kit opens older backups; keep it, and name another file")
    for program in programs:
        if program.stat().st_size > _LARGEST_PROGRAM:
            _fail(f"{program} is larger than {_LARGEST_PROGRAM // 1024**2} MiB")
    kit, found = _today(path, programs)
    archive = packed(found)
    words = _passphrase(passphrase_file) if passphrase_file else ""
    sealed = seal_by_passphrase(archive, words) if passphrase_file else seal(archive, recipients)
    private_write(out, sealed)
    if as_json:
        said = {"file": str(out), "bytes": len(sealed), "kit": kit}
        click.echo(msgspec.json.format(msgspec.json.encode(said)).decode())
        return
    nodes = list(dict.fromkeys(one.node for one in kit.repositories))
    key = "" if passphrase_file else "-i KEY "
    click.echo(
        f"{out}: {len(kit.systems)} systems, {len(kit.repositories)} repositories on {', '.join(nodes)}"
    )
    click.echo("to restore with it, on Linux with restic 0.14 or newer and xxhash:")
    click.echo(f"  mkdir -m 700 /dev/shm/kit && age -d {key}{out.name} | tar -x -C /dev/shm/kit")
    click.echo("  bash /dev/shm/kit/recovery-kit/restore.sh")


@escrow.command(
    epilog="""\b
Examples:
  jizuo backup escrow verify inventories/lab kit.age --identity custodian.key
  jizuo backup escrow verify inventories/lab kit.age --passphrase-file -

\b
Exit codes: 0 every secret and address in it is today's, 2 it is out of date:
make a new one, 1 it cannot be opened."""
)
@path_argument
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--identity", type=click.Path(path_type=Path), metavar="FILE", help="A private key that opens it."
)
@passphrase_option
@json_option
def verify(
    path: Path, file: Path, identity: Path | None, passphrase_file: Path | None, as_json: bool
) -> None:
    """Open the kit FILE and compare all that is in it with the secrets and addresses of today."""
    if bool(identity) == bool(passphrase_file):
        raise click.UsageError("say what opens it: either --identity FILE, or --passphrase-file FILE")
    sealed = file.read_bytes()
    if passphrase_file:
        archive = open_by_passphrase(sealed, _passphrase(passphrase_file))
    else:
        assert identity is not None  # noqa: S101 - one of the two is given
        archive = open_by_identity(sealed, identity)
    old = unpacked(archive)
    kit = read_description(old)
    _, today = _today(path, ())
    found = differences(old, today)
    if as_json:
        said = {"file": str(file), "made_at": kit.made_at, "holds": not found, "differences": found}
        click.echo(msgspec.json.format(msgspec.json.encode(said)).decode())
    else:
        for one in found:
            click.echo(f"{one.what:<11} {one.file}")
        made = f"made {kit.made_at}, {len(kit.repositories)} repositories"
        verdict = (
            f"{len(found)} files are out of date: make a new kit" if found else "every secret is today's"
        )
        click.echo(f"{file}: {made}: {verdict}")
    sys.exit(2 if found else 0)


def _today(path: Path, programs: tuple[Path, ...]) -> tuple[Kit, dict[str, bytes]]:
    """The kit as it would be made now."""
    load_or_exit(path)
    city = deployed_city(path)
    made_at = datetime.now(ZoneInfo(city.layout.time_zone)).isoformat(timespec="seconds")
    kit = describe(city, host_data(city, build_plan(city)), made_at)
    store = ExistingSecrets(state_folder() / "secrets")
    if not store.folder.is_dir():
        raise KitError(
            f"{store.folder} is not there: no secret was made on this controller; set JIZUO_STATE to its folder"
        )
    return kit, contents(kit, store, programs)


def _passphrase(file: Path) -> str:
    """The first line of a file, or of standard input."""
    text = sys.stdin.readline() if str(file) == "-" else file.read_text(encoding="utf-8")
    return text.splitlines()[0] if text else ""


def _fail(message: str) -> NoReturn:
    click.echo(f"jizuo backup escrow: {message}", err=True)
    sys.exit(1)
