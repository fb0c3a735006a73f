"""How much memory restic is given where nothing is new, and that it is given no such limit where something is."""

from __future__ import annotations

import os
import time
from pathlib import Path

from deploy.backup.job import memory
from deploy.backup.job.manifest import SETTLING_NS, fullest
from tests.deploy.backup.conftest import Client, without_copy, wrap_restic

MIB = 1 << 20


def index_of(cache: Path, size: int) -> None:
    folder = cache / ("ab" * 32) / "index/cd"
    folder.mkdir(parents=True)
    (folder / ("cd" * 32)).write_bytes(bytes(size))
    (cache / ("ab" * 32) / "data").mkdir()
    (cache / ("ab" * 32) / "data/pack").write_bytes(bytes(5 * MIB))


def test_what_restic_needs_grows_with_its_index_and_with_the_folder_it_is_at(tmp_path: Path) -> None:
    assert memory.enough(str(tmp_path), 100, MIB) == 0, "with no index it is not known"
    index_of(tmp_path, 3 * MIB)
    least = memory.enough(str(tmp_path), 0, 0)
    assert least == 12 * MIB + 44 * MIB + 2 * MIB * (os.cpu_count() or 1)
    # Measured: of 100,000 files in one folder restic 0.14 holds some 2,300 bytes each.
    assert memory.enough(str(tmp_path), 100_000, 0) - least > 2_300 * 100_000
    # A terabyte in pieces of 512 KiB or more: 32 bytes of identity in each of two entries, 68 as JSON.
    assert memory.enough(str(tmp_path), 0, 10**12) - least > 250 * 10**12 // (512 * 1024)


def test_the_fullest_folder_is_counted() -> None:
    assert fullest([b"/a/1", b"/a/2", b"/a/b/1", b"/a/b/2", b"/a/b/3", b"/c/1"]) == 3
    assert fullest([]) == 0


def test_restic_is_limited_only_where_nothing_is_new(client: Client) -> None:
    seen = client.root / "seen"
    wrap_restic(client, f'echo "$GOGC $GOMEMLIMIT $*" >>{seen}; exec "$RESTIC" "$@"')

    def given() -> dict[str, tuple[str, str]]:
        seen.write_text("")
        code, said = client.run()
        assert code == 0, said
        lines = [line.split(" ") for line in seen.read_text().splitlines()]
        verbs = ("backup", "copy")
        return {verb: (line[0], line[1]) for line in lines for verb in verbs if verb in line}

    (client.data / "new").write_text("new\n")
    time.sleep(SETTLING_NS / 1e9 + 0.1)
    assert given()["backup"] == ("80", "")
    nothing_new = given()
    collecting, limit = nothing_new["backup"]
    assert collecting == "400"
    assert 44 * MIB < int(limit) < 100 * MIB
    assert nothing_new["copy"] == ("80", ""), "what is copied may be anything that the copy lacks"
    (client.data / "new").write_text("newer\n")
    assert given()["backup"] == ("80", "")


def test_what_a_run_that_failed_left_behind_is_not_taken_for_stored(client: Client) -> None:
    without_copy(client)
    seen = client.root / "seen"
    (client.data / "new").write_text("new\n")
    time.sleep(SETTLING_NS / 1e9 + 0.1)
    wrap_restic(client, "exit 1")
    assert client.run()[0] == 1  # its scan has seen the new file, its repository has not
    wrap_restic(client, f'echo "$GOMEMLIMIT" >{seen}; exec "$RESTIC" "$@"')
    for limited in (False, True):
        code, said = client.run()
        assert code == 0, said
        assert (seen.read_text().strip() != "") is limited
