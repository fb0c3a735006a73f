"""What becomes of files that are missing, empty, mistyped or in a wrong encoding; does the advice work?"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from inventories.load import OPTIONAL, REQUIRED, load_city
from inventories.problems import InventoryError

from .breaking import problems_of
from .conftest import SMALL_CITY

ROOT = Path(__file__).parents[2]

#: Files that hold Chinese: what is ASCII alone is the same in most encodings.
CHINESE = ["city.toml", "divisions.csv", "nodes.csv", "units.csv", "systems.csv"]


@pytest.mark.parametrize("file", CHINESE)
@pytest.mark.parametrize(
    ("encoding", "name", "tool"),
    [
        ("gb18030", "GB18030", "iconv"),
        ("gbk", "GB18030", "iconv"),
        ("utf-16", "UTF-16", "iconv"),
        ("utf-8-sig", "byte-order mark", "sed"),
    ],
)
def test_a_wrong_encoding_is_named_and_its_advice_heals_the_file(
    small_city: Path, file: str, encoding: str, name: str, tool: str
) -> None:
    path = small_city / file
    text = path.read_text(encoding="utf-8")
    path.write_bytes(text.encode(encoding))
    [problem] = problems_of(small_city)
    assert problem.file == str(path)
    assert name in problem.what
    if name == "GB18030":  # the first character that is not ASCII
        at = next(number for number, character in enumerate(text) if not character.isascii())
        before = text[:at]
        assert (problem.line, problem.column) == (before.count("\n") + 1, at - before.rfind("\n"))
    else:
        assert (problem.line, problem.column) == (1, 1)
    command = problem.fix.partition(": ")[2]
    assert command.startswith(tool)
    subprocess.run(["sh", "-c", command], check=True)
    assert path.read_bytes().decode().removeprefix("\ufeff") == text
    assert problems_of(small_city) == []


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_its_mark_is_known_too(small_city: Path, encoding: str) -> None:
    path = small_city / "units.csv"
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    [problem] = problems_of(small_city)
    subprocess.run(["sh", "-c", problem.fix.partition(": ")[2]], check=True)
    assert problems_of(small_city) == []


def test_the_other_errors_of_a_file_in_a_wrong_encoding_are_told_as_well(small_city: Path) -> None:
    path = small_city / "divisions.csv"
    text = path.read_text(encoding="utf-8").replace("慈化镇,township", "慈化镇,镇")
    path.write_bytes(text.encode("gb18030"))
    first, second = problems_of(small_city)
    assert "GB18030" in first.what
    assert (second.line, second.column) == (7, 15)


def test_a_damaged_utf8_file_is_not_taken_for_gb18030(small_city: Path) -> None:
    path = small_city / "divisions.csv"
    raw = path.read_bytes()
    path.write_bytes(raw.replace("余坊村".encode(), "余坊".encode() + b"\xe6\x9d", 1))
    [problem] = problems_of(small_city)
    assert "byte 0xe6 is not UTF-8" in problem.what
    assert (problem.line, problem.column) == (9, 16)


def test_a_damaged_utf8_file_that_happens_to_be_valid_gb18030_is_not_converted(small_city: Path) -> None:
    path = small_city / "units.csv"
    raw = path.read_bytes()
    damaged = raw.replace("市数".encode(), "市数".encode()[:2] + b"\xe6" + "数".encode(), 1)
    assert damaged.decode("gb18030") != raw.decode()
    path.write_bytes(damaged)
    [problem] = problems_of(small_city)
    assert "is not UTF-8, nor is the whole file" in problem.what
    assert "iconv" not in problem.fix
    assert (problem.line, problem.column) == (2, 13)


def test_crlf_is_a_line_end_like_any_other(small_city: Path) -> None:
    plain = load_city(small_city)
    for name in (*REQUIRED, *OPTIONAL):
        path = small_city / name
        path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_city(small_city) == plain
    path = small_city / "divisions.csv"
    path.write_bytes(path.read_bytes().replace(b"360981,", b"3609810,"))
    assert (problems_of(small_city)[0].line, problems_of(small_city)[0].column) == (6, 1)


def test_blank_lines_count_as_lines_and_are_no_rows(small_city: Path) -> None:
    plain = load_city(small_city)
    path = small_city / "units.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("\n", "\n\n\n"), encoding="utf-8")
    assert load_city(small_city) == plain
    path.write_text(path.read_text(encoding="utf-8").replace("approval-bureau", "Approval"), encoding="utf-8")
    assert (problems_of(small_city)[0].line, problems_of(small_city)[0].column) == (7, 1)


@pytest.mark.parametrize("name", REQUIRED)
def test_a_missing_required_file_is_the_only_problem(small_city: Path, name: str) -> None:
    (small_city / name).unlink()
    [problem] = problems_of(small_city)
    assert problem.file == str(small_city / name)
    assert "missing" in problem.what
    assert f"jizuo inventory columns {name}" in problem.fix


@pytest.mark.parametrize("name", [*REQUIRED, *OPTIONAL])
@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xef\xbb\xbf"])
def test_an_empty_file_is_the_only_problem(small_city: Path, name: str, content: bytes) -> None:
    (small_city / name).write_bytes(content)
    problems = problems_of(small_city)
    assert [(problem.file, problem.line, problem.column) for problem in problems] == [
        (str(small_city / name), 1, 1)
    ]
    assert "empty" in problems[0].what


def test_optional_files_may_be_absent(small_city: Path) -> None:
    for name in OPTIONAL:
        (small_city / name).unlink()
    # Who stands in a private network of which there is no file is told, once for each.
    problems = problems_of(small_city)
    assert {Path(problem.file).name for problem in problems} == {"links.csv"}
    assert len(problems) == 3
    assert all("private-networks.csv" in problem.fix for problem in problems)
    links = small_city / "links.csv"
    links.write_text(re.sub("(health|civil)$", "", links.read_text(encoding="utf-8"), flags=re.MULTILINE))
    city = load_city(small_city)
    assert (city.units, city.systems, city.backups, city.networks, city.allocations) == ({}, {}, {}, {}, {})


@pytest.mark.parametrize(("name", "mistyped"), [("systems.csv", "system.csv"), ("sites.csv", "Sites.CSV")])
def test_a_mistyped_file_name_is_told(small_city: Path, name: str, mistyped: str) -> None:
    (small_city / name).rename(small_city / mistyped)
    [problem] = problems_of(small_city)
    assert problem.file == str(small_city / mistyped)
    assert f"rename it to {name}" in problem.fix


def test_files_of_other_names_are_left_alone(small_city: Path) -> None:
    (small_city / "population.csv").write_bytes(b"\xff\xfe\x00")
    (small_city / "README.md").write_text("x", encoding="utf-8")
    assert problems_of(small_city) == []


def test_a_folder_or_a_pipe_in_a_file_s_place_does_not_hang(small_city: Path) -> None:
    (small_city / "units.csv").unlink()
    (small_city / "units.csv").mkdir()
    (small_city / "nodes.csv").unlink()
    os.mkfifo(small_city / "nodes.csv")
    problems = problems_of(small_city)
    assert {problem.file for problem in problems} == {
        str(small_city / name) for name in ("units.csv", "nodes.csv")
    }
    assert all("no regular file" in problem.what for problem in problems)


def test_a_folder_that_is_none(small_city: Path) -> None:
    for path, what in (
        (small_city / "nowhere", "no such folder"),
        (small_city / "city.toml", "this is a file"),
    ):
        with pytest.raises(InventoryError, match=what):
            load_city(path)
    shutil.rmtree(small_city)
    small_city.mkdir()
    assert {Path(problem.file).name for problem in problems_of(small_city)} == set(REQUIRED)


READ_AS_ANOTHER_ACCOUNT = """
import os, sys
from pathlib import Path
from inventories.load import load_city
from inventories.problems import InventoryError
try:
    load_city(Path(sys.argv[1]))  # imports what it needs, while it may
except InventoryError:
    pass
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
try:
    load_city(Path(sys.argv[1]))
except InventoryError as error:
    print(error)
"""


def test_a_file_that_may_not_be_read() -> None:
    """Root reads everything, so another account tries, in a folder that it can reach."""
    with tempfile.TemporaryDirectory(dir="/tmp") as temporary:
        Path(temporary).chmod(0o755)
        folder = Path(shutil.copytree(SMALL_CITY, Path(temporary) / "city"))
        (folder / "units.csv").chmod(0)
        command = [sys.executable, "-c", READ_AS_ANOTHER_ACCOUNT, str(folder)]
        done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == (
        f"{folder}/units.csv:1:1: the file cannot be read: Permission denied; "
        f"make it readable for this account: chmod u+r {folder}/units.csv\n"
    )
