"""The recovery kit compares what it brought back: every file, whatever its name, or it says that it did not."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from deploy.backup.job.manifest import SETTLING_NS
from tests.deploy.backup.conftest import CLIENT, POLICY, Client, without_copy
from tests.deploy.backup.test_escrow import bare, hashes, machine


def after_a_restore(kit: Path, script: str) -> None:
    """Put a restic into the kit, before the one that is installed; the script finds the restored data in "$2"."""
    wrapper = kit / "restic"
    wrapper.write_text(
        f"""#!/bin/bash
{shutil.which("restic")} "$@" || exit
case " $* " in *" restore "*) while [ "$1" != --target ]; do shift; done
    {script} ;;
esac
"""
    )
    wrapper.chmod(0o700)


def test_a_restore_that_differs_from_the_manifest_is_said_to_be_bad(client: Client, tmp_path: Path) -> None:
    kit = machine(client, tmp_path / "elsewhere")
    after_a_restore(kit, 'file=$(find "$2" -name 3.csv); echo other >"$file"; touch -d 2001-01-01 "$file"')
    done = bare(kit, "bash", "restore.sh", "restore", POLICY, CLIENT, str(tmp_path / "restored"), check=False)
    assert done.returncode == 1
    assert "3.csv" in done.stderr
    assert "8 files have the content of backup time, 0 were changed while backed up, 1 differ" in done.stdout


def test_what_stands_in_a_files_place_keeps_no_other_from_being_compared(
    client: Client, tmp_path: Path
) -> None:
    kit = machine(client, tmp_path / "elsewhere")
    after_a_restore(
        kit,
        'one=$(find "$2" -name 1.csv) two=$(find "$2" -name 2.csv); rm "$one"; mkdir "$one"; '
        'echo other >"$two"; touch -d 2001-01-01 "$two"',
    )
    done = bare(kit, "bash", "restore.sh", "restore", POLICY, CLIENT, str(tmp_path / "restored"), check=False)
    assert done.returncode == 1
    assert "7 files have the content of backup time, 0 were changed while backed up, 2 differ" in done.stdout
    assert "2.csv" in done.stderr


def test_an_xxhsum_that_does_not_do_is_refused_before_the_data_are_brought(
    client: Client, tmp_path: Path
) -> None:
    kit, restored = machine(client, tmp_path / "elsewhere"), tmp_path / "restored"
    for script in ("exit 126", "echo 00000000000000000000000000000000"):
        (kit / "xxhsum").write_text(f"#!/bin/sh\n{script}\n")
        (kit / "xxhsum").chmod(0o700)
        done = bare(kit, "bash", "restore.sh", "restore", POLICY, CLIENT, str(restored), check=False)
        assert done.returncode == 1
        assert "older than 0.8" in done.stderr
    assert not restored.exists()


@pytest.mark.slow
def test_files_are_compared_whatever_their_names_and_whichever_digest_they_have(
    client: Client, tmp_path: Path
) -> None:
    """The first runs are of a host without xxHash; what comes after it was installed has XXH128."""
    without_copy(client)
    names = ["two\nlines", "back\\slash", "\udcd2\udccb", "plain"]
    no_library = client.root / "lib/xxhash.py"
    no_library.write_text("raise ImportError\n")
    (client.root / "cache" / f"{POLICY}.index").unlink()
    for kind in ("sha256 ", "xxh128 "):
        for name in names:
            (client.data / f"{kind}{name}").write_bytes(os.fsencode(name))
        time.sleep(SETTLING_NS / 1e9 + 0.1)  # else the second run reads what is new in the first again
        code, said = client.run("--verify")
        assert code == 0, said
        no_library.unlink(missing_ok=True)
    manifest = (client.root / "state" / f"{POLICY}.manifest").read_bytes()
    digests = [len(line.lstrip(b"\\").split()[0]) for line in manifest.splitlines()]
    assert (digests.count(64), digests.count(32)) == (9 + len(names), len(names))

    kit, restored = machine(client, tmp_path / "elsewhere"), tmp_path / "restored"
    arguments = ["bash", "restore.sh", "restore", POLICY, CLIENT]
    done = bare(kit, *arguments, str(restored))
    assert "17 files have the content of backup time, 0 were changed while backed up, 0 differ" in done.stdout
    other = """sh -c 'echo other >"$0"; touch -d 2001-01-01 "$0"' {}"""
    after_a_restore(kit, f"""find "$2" -name '* *' -exec {other} \\;""")
    done = bare(kit, *arguments, str(tmp_path / "again"), check=False)
    assert done.returncode == 1
    assert "9 files have the content of backup time, 0 were changed while backed up, 8 differ" in done.stdout


def test_data_are_not_left_uncompared_unless_it_is_said(client: Client, tmp_path: Path) -> None:
    kit, restored, programs = machine(client, tmp_path / "elsewhere"), tmp_path / "restored", tmp_path / "bin"
    programs.mkdir()
    for folder in ("/usr/bin", "/bin"):
        for path in Path(folder).iterdir():
            if not path.name.startswith("xxh") and not (programs / path.name).exists():
                (programs / path.name).symlink_to(path)
    arguments = ["bash", "restore.sh", "restore", POLICY, CLIENT, str(restored)]
    none = subprocess.run(
        arguments, cwd=kit, env={"PATH": str(programs)}, capture_output=True, text=True, check=False
    )
    assert none.returncode == 1
    assert "apt-get install xxhash" in none.stderr
    assert not restored.exists()
    bare(kit, "env", f"PATH={programs}", *arguments, "--uncompared")
    assert len(hashes(restored)) == 10
