"""Records that were changed, removed or put in show, whichever it was and whoever tries; others do not."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from checks.drills.chain import (
    HEAD,
    NOTHING_BEFORE,
    _append,
    digest,
    sign,
    signatures_of,
    verify,
    write_record,
)
from checks.drills.record import Signature, read_record, record_paths
from tests.checks.drills.examples import example


def write(folder: Path, name: str) -> Path:
    return write_record(folder, msgspec.structs.replace(example(), id=name))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four records, written one after another."""
    for name in ("a-20260101T000000", "b-20260201T000000", "c-20260301T000000", "d-20260401T000000"):
        write(tmp_path, name)
    return tmp_path


def change(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_each_record_names_the_one_before_it(folder: Path) -> None:
    found = [read_record(path) for path in record_paths(folder)]
    assert [record.sequence for record in found] == [1, 2, 3, 4]
    assert found[0].previous == NOTHING_BEFORE
    for record, path in zip(found[1:], record_paths(folder), strict=False):
        assert record.previous == digest(path.read_bytes())
    assert verify(folder).misfit == ""
    assert verify(folder).chained == 4


def test_the_digest_is_of_values_and_not_of_how_they_are_written(folder: Path) -> None:
    path = folder / "b-20260201T000000.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(content.items())), indent=7))
    assert verify(folder).misfit == ""


@pytest.mark.parametrize("position", [0, 1, 2, 3])
def test_a_value_that_was_changed_shows(folder: Path, position: int) -> None:
    path = record_paths(folder)[position]
    content = json.loads(path.read_text())
    content["measured"]["rto_seconds"] = 1.5
    path.write_text(json.dumps(content))
    misfit = verify(folder).misfit
    assert path.stem in misfit
    assert "changed" in misfit


@pytest.mark.parametrize("position", [0, 1, 2, 3])
def test_a_record_that_was_removed_shows(folder: Path, position: int) -> None:
    path = record_paths(folder)[position]
    path.unlink()
    misfit = verify(folder).misfit
    assert "removed" in misfit
    assert f"number {position + 1}" in misfit


def test_a_removed_record_still_shows_when_others_follow(folder: Path) -> None:
    record_paths(folder)[3].unlink()
    write(folder, "e-20260501T000000")
    assert "number 4 is missing before e-20260501T000000" in verify(folder).misfit


def test_a_record_that_was_put_in_shows(folder: Path) -> None:
    source = folder / "b-20260201T000000.json"
    between = folder / "x-20260215T000000.json"
    between.write_text(source.read_text())
    assert "x-20260215T000000 says that it is b-20260201T000000" in verify(folder).misfit
    change(between, id="x-20260215T000000")
    assert "put in" in verify(folder).misfit
    change(between, sequence=5, previous=digest((folder / "d-20260401T000000.json").read_bytes()))
    assert "x-20260215T000000 is not the newest that was written" in verify(folder).misfit
    change(between, sequence=0, previous="", started_at="2027-01-01T00:00:00+08:00")
    assert "x-20260215T000000 names no record before it" in verify(folder).misfit


def test_a_chain_that_was_written_anew_shows_against_a_digest_on_paper(folder: Path, tmp_path: Path) -> None:
    paper = digest((folder / "c-20260301T000000.json").read_bytes())
    assert verify(folder, paper).misfit == ""
    for path in record_paths(folder):
        path.unlink()
    (folder / HEAD).unlink()
    write(folder, "a-20260101T000000")
    assert verify(folder).misfit == ""
    assert "changed or removed" in verify(folder, paper).misfit


def test_a_head_that_is_gone_shows_and_the_next_record_goes_on(folder: Path) -> None:
    (folder / HEAD).unlink()
    assert "is missing" in verify(folder).misfit
    assert read_record(write(folder, "e-20260501T000000")).sequence == 5
    assert verify(folder).misfit == ""


def test_what_is_no_record_shows(folder: Path) -> None:
    (folder / "z-20260101T000000.json").write_text("[1]")
    assert "z-20260101T000000.json is no record" in verify(folder).misfit


def test_records_of_before_the_chain_stand_beside_it(tmp_path: Path) -> None:
    old = msgspec.to_builtins(example())
    for later in ("sequence", "previous", "restore", "detection", "next_due_at", "artifacts"):
        del old[later]
    old["started_at"] = "2026-01-01T00:00:00+08:00"
    (tmp_path / "old-20260101T000000.json").write_text(json.dumps({**old, "version": 1}))
    write(tmp_path, "new-20260801T093000")
    found = verify(tmp_path)
    assert (found.chained, found.unchained, found.misfit) == (1, 1, "")


def test_no_record_is_written_over(folder: Path) -> None:
    with pytest.raises(FileExistsError, match="never written over"):
        write(folder, "a-20260101T000000")
    assert verify(folder).misfit == ""


def test_two_writers_at_once_make_one_chain(tmp_path: Path) -> None:
    threads = [threading.Thread(target=write, args=(tmp_path, f"t{n}-20260101T000000")) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verify(tmp_path)[:3] == (12, 0, "")


def test_a_signature_is_a_link_of_its_own_and_the_record_is_as_it_was(folder: Path) -> None:
    path = folder / "b-20260201T000000.json"
    before = path.read_bytes()
    signed = sign(folder, path.stem, "王敏", "演练指挥", "2026-08-02T09:00:00+08:00")
    assert path.read_bytes() == before
    (one,) = signatures_of(folder, path.stem)
    assert (one.name, one.role, one.record_sha256, one.sequence) == ("王敏", "演练指挥", digest(before), 5)
    assert verify(folder).misfit == ""
    assert verify(folder).chained == 5
    assert len(record_paths(folder)) == 4, "a signature is taken for a record"
    write(folder, "e-20260901T000000")
    assert json.loads((folder / "e-20260901T000000.json").read_text())["previous"] == digest(
        signed.read_bytes()
    )
    assert verify(folder).misfit == ""


@pytest.mark.parametrize("field", ["name", "role", "signed_at", "record_sha256"])
def test_a_signature_that_was_changed_or_removed_shows(folder: Path, field: str) -> None:
    signed = sign(folder, "b-20260201T000000", "王敏", "演练指挥", "2026-08-02T09:00:00+08:00")
    content = signed.read_bytes()
    change(signed, **{field: "other"})
    assert signed.stem in verify(folder).misfit
    signed.unlink()
    assert signed.stem in verify(folder).misfit
    signed.write_bytes(content)
    assert verify(folder).misfit == ""


def test_a_signature_of_other_content_shows_even_with_a_whole_chain(folder: Path) -> None:
    """Somebody who can write appends by the rules, and signs what is not there."""
    forged = Signature(
        version=2, id="b-20260201T000000.signature-1", record="b-20260201T000000", record_sha256="0" * 64,
        name="王敏", role="演练指挥", signed_at="2026-08-02T09:00:00+08:00",
    )  # fmt: skip
    _append(folder, forged)
    assert "signs another content than b-20260201T000000 has" in verify(folder).misfit


def test_who_may_sign(folder: Path) -> None:
    when = "2026-08-02T09:00:00+08:00"
    with pytest.raises(ValueError, match="has no role 厨师; its roles are: 演练指挥, 系统责任单位"):
        sign(folder, "b-20260201T000000", "王敏", "厨师", when)
    sign(folder, "b-20260201T000000", "王敏", "演练指挥", when)
    with pytest.raises(ValueError, match="王敏 has signed as 演练指挥"):
        sign(folder, "b-20260201T000000", "李强", "演练指挥", when)
    sign(folder, "b-20260201T000000", "李强", "系统责任单位", when)
    change(folder / "a-20260101T000000.json", success=False)
    with pytest.raises(ValueError, match="nothing is signed while the records do not fit: a-2026"):
        sign(folder, "c-20260301T000000", "王敏", "演练指挥", when)
