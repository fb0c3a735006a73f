"""The command `jizuo plan`, as a person or a program runs it."""

from __future__ import annotations

import csv
import io
import ipaddress
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from inventories.files import write_file, write_files
from inventories.load import load_city
from inventories.plan import AddressRow, PrefixRow, build_plan
from inventories.plan_cli import plan
from inventories.records import LinkKind
from inventories.scaffold_cli import _umask

from .breaking import break_file
from .editing import Editor

ROOT = Path(__file__).parents[2]
YICHUN = ROOT / "inventories" / "yichun"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(plan, [str(argument) for argument in arguments])


def editor_of(folder: Path) -> Editor:
    return Editor(load_city(folder))


def test_the_table_fits_80_columns_and_shows_the_tree(small_city: Path) -> None:
    result = run(small_city)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert all(_cells(line) <= 80 for line in lines)
    assert any(
        line.split() == ["360902105201", "余坊村委会", "2001:db8:102:200::/56", "198.18.16.96/28"]
        for line in lines
    )
    assert lines[-1] == "140 prefixes (77 IPv6, 63 IPv4), 206 addresses (103 IPv6, 103 IPv4)"


def test_prefixes_are_not_taken_for_emoji(small_city: Path) -> None:
    """`2001:db8:102:100::` holds `:100:`, which rich would draw as a picture."""
    assert "2001:db8:102:100::/56" in run(small_city).stdout


@pytest.mark.parametrize("arguments", [[], ["--usage"]])
def test_a_whole_city_fits_80_columns_too(arguments: list[str]) -> None:
    result = run(YICHUN, *arguments)
    assert result.exit_code == 0
    assert max(_cells(line) for line in result.stdout.splitlines()) <= 80


def _cells(line: str) -> int:
    """How many columns a terminal takes: two for a Chinese character."""
    return sum(2 if ord(character) > 0x2E7F else 1 for character in line)


def test_csv_has_the_stable_columns_and_every_row(small_city: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert run(small_city, "--format", "csv", "--out", out).exit_code == 0
    prefixes = list(csv.reader(io.StringIO((out / "prefixes.csv").read_text(encoding="utf-8"))))
    addresses = list(csv.reader(io.StringIO((out / "addresses.csv").read_text(encoding="utf-8"))))
    assert ",".join(prefixes[0]) == "prefix,family,role,division,site,parent"
    assert ",".join(addresses[0]) == "address,family,host,interface,role,dns_name"
    made = build_plan(load_city(small_city))
    assert {PrefixRow(*row) for row in prefixes[1:]} == set(made.prefixes())  # type: ignore[arg-type]
    assert {AddressRow(*row) for row in addresses[1:]} == set(made.addresses())  # type: ignore[arg-type]
    numbers = [ipaddress.ip_address(row[0]) for row in addresses[1:]]
    assert numbers == sorted(numbers, key=lambda address: (address.version, int(address)))


def test_private_networks_have_tables_of_their_own(small_city: Path, tmp_path: Path) -> None:
    assert run(small_city, "--format", "csv", "--out", tmp_path).exit_code == 0
    made = build_plan(load_city(small_city))
    for name, columns, rows in (
        ("private-prefixes.csv", "network,prefix,family,role,division,site,parent", made.private_prefixes()),
        ("private-addresses.csv", "network,address,family,host,interface,role", made.private_addresses()),
    ):
        head, *found = csv.reader(io.StringIO((tmp_path / name).read_text(encoding="utf-8")))
        assert ",".join(head) == columns
        assert {tuple(row) for row in found} == {tuple(map(str, row)) for row in rows}
        keys = [(row[0], ip.version, int(ip)) for row in found for ip in [ipaddress.ip_network(row[1])[0]]]
        assert keys == sorted(keys)
    # In the public tables an address stands once, whatever departments bring along.
    public = [row.address for row in made.addresses()]
    assert not {"198.51.100.17", "198.51.100.18"} & set(public)


def test_a_city_without_private_networks_has_the_same_tables(tmp_path: Path) -> None:
    assert run(YICHUN, "--format", "csv", "--out", tmp_path).exit_code == 0
    for name in ("private-prefixes.csv", "private-addresses.csv"):
        assert len((tmp_path / name).read_text(encoding="utf-8").splitlines()) == 1


def test_the_order_of_rows_in_the_inventory_does_not_matter(small_city: Path, tmp_path: Path) -> None:
    before = run(small_city, "--format", "json").stdout
    lines = (small_city / "nodes.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    (small_city / "nodes.csv").write_text("".join([lines[0], *reversed(lines[1:])]), encoding="utf-8")
    assert run(small_city, "--format", "json").stdout == before


def test_json_says_what_csv_says(small_city: Path, tmp_path: Path) -> None:
    data = json.loads(run(small_city, "--format", "json").stdout)
    run(small_city, "--format", "csv", "--out", tmp_path)
    with (tmp_path / "addresses.csv").open(encoding="utf-8") as file:
        assert data["addresses"] == list(csv.DictReader(file))
    with (tmp_path / "prefixes.csv").open(encoding="utf-8") as file:
        assert data["prefixes"] == list(csv.DictReader(file))
    for name in ("prefixes", "addresses"):
        with (tmp_path / f"private-{name}.csv").open(encoding="utf-8") as file:
            assert data[f"private_{name}"] == list(csv.DictReader(file)) != []
    assert (data["name"], data["division"]) == ("宜春市", "3609")


def test_hosts_lines_name_every_address(small_city: Path) -> None:
    text = run(small_city, "--format", "hosts").stdout
    found = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        if address:
            found[str(ipaddress.ip_address(address))] = names
    made = build_plan(load_city(small_city))
    assert {row.address: row.dns_name for row in made.addresses()} == {
        key: names[0] for key, names in found.items()
    }
    assert found["198.18.0.1"] == ["yuanzhou.yichun.example", "yuanzhou"]
    assert found["198.19.240.1"] == ["core-a.management.yichun.example"]


def test_several_files_are_told_apart_on_the_terminal(small_city: Path) -> None:
    text = run(small_city, "--format", "csv").stdout
    assert text.startswith("==> prefixes.csv <==\nprefix,family,")
    assert "\n==> addresses.csv <==\naddress,family," in text


def test_out_touches_only_what_differs(small_city: Path, tmp_path: Path) -> None:
    assert "20 files written" not in run(small_city, "--format", "zones", "--out", tmp_path).stderr
    before = {file.name: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    inodes = {file.name: file.stat().st_ino for file in tmp_path.iterdir()}
    editor = editor_of(small_city)
    editor.remove_node("client-1")
    editor.write(small_city)
    result = run(small_city, "--format", "zones", "--out", tmp_path)
    assert result.exit_code == 0
    touched = {file.name for file in tmp_path.iterdir() if file.stat().st_mtime_ns != before[file.name]}
    assert "yichun.example.zone" in touched
    assert "2.0.8.b.d.0.1.0.0.2.ip6.arpa.zone" not in touched
    assert all((tmp_path / name).stat().st_ino != inodes[name] for name in touched)  # by rename
    assert {file.name for file in tmp_path.iterdir()} == set(before)  # no scratch file is left


def test_diff_says_nothing_when_nothing_differs(small_city: Path, tmp_path: Path) -> None:
    for form in ("csv", "json"):
        run(small_city, "--format", form, "--out", tmp_path / form)
        result = run(small_city, "--diff", tmp_path / form)
        assert (result.exit_code, result.stdout) == (0, "0 added, 0 removed, 0 changed\n")
    for file in (
        tmp_path / "csv" / "addresses.csv",
        tmp_path / "csv" / "prefixes.csv",
        tmp_path / "csv" / "private-addresses.csv",
        tmp_path / "csv" / "private-prefixes.csv",
        tmp_path / "json" / "plan.json",
    ):
        assert run(small_city, "--diff", file).exit_code == 0


@pytest.mark.parametrize("form", ["csv", "json"])
def test_diff_tells_added_removed_and_changed(small_city: Path, tmp_path: Path, form: str) -> None:
    run(small_city, "--allocate")
    run(small_city, "--format", form, "--out", tmp_path)
    editor = editor_of(small_city)
    editor.remove_node("client-1")
    editor.add_client("client-3", "360902105201")
    editor.add_link("yufang-c3", "yufang", "client-3", LinkKind.ACCESS)
    editor.allocations["management"]["zone"] = 200
    editor.write(small_city)
    result = run(small_city, "--diff", tmp_path)
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert "- 198.18.16.98 ipv4 client-1 yufang-c1 host client-1.yichun.example" in lines
    assert any(line.startswith("+ 198.18.16.") and " client-3 " in line for line in lines)
    changed = lines.index(
        next(line for line in lines if line.startswith("~ 198.19.240.") and " zone " in line)
    )
    assert (
        lines[changed + 1] == "  -> 198.19.240.200 ipv4 zone mgmt0 management zone.management.yichun.example"
    )
    assert lines[-1] == "4 added, 4 removed, 2 changed"
    told = [
        json.loads(line)
        for line in run(small_city, "--diff", tmp_path, "--format", "json").stdout.splitlines()
    ]
    assert len(told) == 10
    assert {change["what"] for change in told} == {"added", "removed", "changed"}


@pytest.mark.parametrize("form", ["csv", "json"])
def test_diff_tells_one_private_network_from_another(small_city: Path, tmp_path: Path, form: str) -> None:
    """The host of health is numbered anew; that of civil has the same address and is left alone."""
    run(small_city, "--allocate")
    run(small_city, "--format", form, "--out", tmp_path)
    break_file(
        small_city,
        "allocations.csv",
        "health-360902105201/host,health-1,2",
        "health-360902105201/host,health-1,9",
    )
    result = run(small_city, "--diff", tmp_path)
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert lines[:2] == [
        "~ health 198.51.100.18 ipv4 health-1 yufang-h1 host",
        "  -> health 198.51.100.25 ipv4 health-1 yufang-h1 host",
    ]
    assert lines[-1] == "0 added, 0 removed, 2 changed"


@pytest.mark.parametrize("form", ["csv", "json"])
def test_an_export_from_before_private_networks_had_none(small_city: Path, tmp_path: Path, form: str) -> None:
    run(small_city, "--format", form, "--out", tmp_path)
    if form == "csv":
        for name in ("private-prefixes.csv", "private-addresses.csv"):
            (tmp_path / name).unlink()
    else:
        data = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
        old = {key: value for key, value in data.items() if not key.startswith("private_")}
        (tmp_path / "plan.json").write_text(json.dumps(old), encoding="utf-8")
    result = run(small_city, "--diff", tmp_path)
    assert result.exit_code == 2
    made = build_plan(load_city(small_city))
    rows = [*made.private_prefixes(), *made.private_addresses()]
    assert result.stdout.splitlines()[-1] == f"{len(rows)} added, 0 removed, 0 changed"


def test_a_renamed_division_is_no_difference(small_city: Path, tmp_path: Path) -> None:
    run(small_city, "--format", "csv", "--out", tmp_path)
    break_file(small_city, "divisions.csv", "慈化镇", "慈化新镇")
    assert run(small_city, "--diff", tmp_path).exit_code == 0


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda path: None, "cannot be read: No such file"),
        (lambda path: path.mkdir(), "an earlier export is prefixes.csv and addresses.csv, or plan.json"),
        (lambda path: path.write_text("a,b\n"), "the header is neither prefix,family"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "it is not UTF-8"),
        (lambda path: path.write_text("prefix,family,role,division,site,parent\nx\n"), ":2: 1 cells, not 6"),
    ],
)
def test_an_earlier_export_that_is_none_is_one_clear_line(
    small_city: Path, tmp_path: Path, make: object, said: str
) -> None:
    make(tmp_path / "earlier")  # type: ignore[operator]
    result = run(small_city, "--diff", tmp_path / "earlier")
    assert result.exit_code == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("Error")]
    assert said in line


def test_one_file_is_no_files(small_city: Path, tmp_path: Path) -> None:
    assert ": 1 file written, 0 unchanged" in run(small_city, "--format", "json", "--out", tmp_path).stderr
    assert ": 0 files written, 1 unchanged" in run(small_city, "--format", "json", "--out", tmp_path).stderr


def test_allocate_adds_what_is_missing_and_never_changes_a_line(small_city: Path) -> None:
    file = small_city / "allocations.csv"
    before = file.read_text(encoding="utf-8").splitlines()
    first = run(small_city)
    assert "not written down yet and free to change: " in first.stderr
    added = run(small_city, "--allocate")
    assert added.exit_code == 0
    assert f"{len(file.read_text(encoding='utf-8').splitlines()) - len(before)} allocation" in added.stderr
    after = file.read_text(encoding="utf-8").splitlines()
    assert set(before) <= set(after)
    assert after[1:] == sorted(after[1:], key=lambda line: line.split(",")[:2])
    again = run(small_city, "--allocate")
    assert "nothing to add" in again.stderr
    assert file.read_text(encoding="utf-8").splitlines() == after
    assert run(small_city).stdout == first.stdout
    assert "not written down" not in run(small_city).stderr


def test_what_cannot_be_written_is_one_clear_line(small_city: Path, tmp_path: Path) -> None:
    """A process that may write no byte to any file stands for a full disk, also for root."""
    command = [sys.executable, str(ROOT / "jizuo.py"), "plan", str(small_city)]
    before = (small_city / "allocations.csv").read_bytes()
    for more, place in (
        (["--allocate"], "allocations.csv"),
        (["--format", "csv", "--out", str(tmp_path / "o")], "/o"),
    ):
        done = subprocess.run(
            [*command, *more],
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)),
        )
        assert done.returncode == 1, done.stderr
        assert "Traceback" not in done.stderr
        assert place in done.stderr.splitlines()[-1]
        assert "it cannot be written: File too large" in done.stderr.splitlines()[-1]
    assert (small_city / "allocations.csv").read_bytes() == before
    assert list((tmp_path / "o").iterdir()) == []
    result = run(small_city, "--format", "csv", "--out", small_city / "city.toml" / "below")
    assert result.exit_code == 1
    assert result.stderr.splitlines()[-1].startswith(
        f"Error: {small_city}/city.toml/below: it cannot be written: "
    )


def test_an_inventory_with_errors_is_not_planned(small_city: Path) -> None:
    break_file(small_city, "sites.csv", "360902105,360902105,township", "360902105,999999999,township")
    result = run(small_city, "--format", "json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "sites.csv:" in result.stderr


def test_a_plan_that_cannot_be_names_file_and_line(small_city: Path) -> None:
    break_file(small_city, "city.toml", 'ipv4 = "198.19.240.0/24"', 'ipv4 = "198.19.240.0/29"')
    result = run(small_city)
    assert result.exit_code == 1
    assert "city.toml:" in result.stderr
    assert "IPv4 management addresses at the city level of 宜春市 (3609): 22 are needed" in result.stderr


def test_usage_names_the_fullest(small_city: Path) -> None:
    lines = run(small_city, "--usage").stdout.splitlines()
    assert lines[-1] == (
        "fullest: LANs of the private network health (/28 of 198.51.100.0/24) of 宜春市 (3609), 20%"
    )
    assert any(line.split()[:4] == ["360902", "袁州区", "1/254", "2/192"] for line in lines)
    rows = [json.loads(line) for line in run(small_city, "--usage", "--format", "json").stdout.splitlines()]
    management = next(row for row in rows if row["resource"] == "IPv4 management addresses")
    assert (management["used"], management["gone"], management["capacity"]) == (22, 0, 254)


def test_usage_counts_the_slots_of_what_is_gone(small_city: Path) -> None:
    with (small_city / "allocations.csv").open("a", encoding="utf-8") as file:
        file.write("management,gone,3\n")
    rows = [json.loads(line) for line in run(small_city, "--usage", "--format", "json").stdout.splitlines()]
    management = next(row for row in rows if row["resource"] == "IPv4 management addresses")
    assert (management["used"], management["gone"]) == (22, 1)
    assert any("22+1" in line for line in run(small_city, "--usage").stdout.splitlines())


def test_options_that_do_not_go_together_are_refused(small_city: Path) -> None:
    for arguments in (["--out", "x"], ["--diff", "x", "--usage"], ["--serial", "5"]):
        result = run(small_city, *arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ")


def test_the_front_door_runs_it(small_city: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "jizuo.py"), "plan", str(small_city)]
    subprocess.run([*command, "--format", "csv", "--out", str(tmp_path)], check=True, capture_output=True)
    editor = editor_of(small_city)
    editor.remove_node("client-1")
    editor.write(small_city)
    done = subprocess.run([*command, "--diff", str(tmp_path)], capture_output=True, check=False)
    assert done.returncode == 2


def test_files_keep_their_mode_and_links(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "real").chmod(0o640)
    (tmp_path / "link").symlink_to("real")
    assert write_files(tmp_path, {"link": "new", "a/b": "x"}) == (("link", "a/b"), ())
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o666 & ~_umask()
    assert write_files(tmp_path, {"link": "new", "a/b": "x"}) == ((), ("link", "a/b"))


def test_a_write_that_fails_leaves_the_old_file_and_no_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_file(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["file"]
