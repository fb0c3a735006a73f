"""Following the sources: records that are missing, broken, old and well again, while the others stay up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import resource
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from checks.availability.targets import Kind, Target
from checks.drills.chain import write_record
from checks.drills.record import DrillRecord
from checks.record import Record, Status, timestamp, write_records
from exporters import parts
from exporters.monitor import Collectors, Monitor
from exporters.parsing import parse_records
from exporters.probing import ProbeLoop
from exporters.readings import Trouble
from exporters.sources import FileSource
from exporters.web.server import ReloadState
from inventories.records import Family

LAB = Path(__file__).parents[2] / "inventories" / "lab"
NAMES = frozenset({"availability", "backup", "security", "drill", "deploy"})


def records(check: str, age: float = 0.0) -> list[Record]:
    at = timestamp(datetime.now().astimezone() - timedelta(seconds=age))
    return [
        Record(subject=s, check=check, family="none", status=Status.PASS, value=1.0, at=at, evidence="")
        for s in ("gov-service@cloud-1", "collab-office@xinchuang-1")
    ]


@pytest.fixture
def inventory(tmp_path: Path) -> Path:
    folder = tmp_path / "inventory"
    folder.mkdir()
    for file in LAB.iterdir():
        if file.is_file():
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


@pytest.fixture
def monitor(tmp_path: Path, inventory: Path) -> Monitor:
    folder = tmp_path / "records"
    write_records(folder / "availability.json", records("icmp"))
    write_records(folder / "backup.json", records("backup"))
    write_records(folder / "security.json", records("L3-CES1-01"))
    collectors = Collectors(
        inventory=inventory,
        records=folder,
        drills=tmp_path / "drills",
        deploys=tmp_path / "deploy",
        names=NAMES,
        probe=False,
        interval=30,
        timeout=3,
        max_age={"backup": 100.0},
    )
    monitor = Monitor(collectors, lambda: ReloadState(True, time.time()))
    asyncio.run(monitor.start())
    return monitor


def scrape(monitor: Monitor) -> dict[str, float]:
    text = monitor.exposition.body("").plain.decode()
    return {
        sample.name + json.dumps(sample.labels, sort_keys=True): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def success(monitor: Monitor) -> dict[str, float]:
    name = "jizuo_collector_success"
    return {
        json.loads(key.removeprefix(name))["collector"]: number
        for key, number in scrape(monitor).items()
        if key.startswith(name)
    }


def has(monitor: Monitor, name: str) -> bool:
    return any(key.startswith(name) for key in scrape(monitor))


WELL = dict.fromkeys(("inventory", "availability", "backup", "security", "drill", "deploy", "drift"), 1.0)


def test_all_is_well_at_first(monitor: Monitor) -> None:
    assert success(monitor) == WELL
    for name in ("jizuo_probe_success", "jizuo_backup_last_success", "jizuo_security_control{"):
        assert has(monitor, name), name


@pytest.mark.parametrize(
    ("content", "trouble", "said"),
    [
        (b"[{", Trouble.INVALID, "backup.json: Input data was truncated"),
        (b'[{"subject": 1}]', Trouble.INVALID, r"backup.json: .*\$\[0\]"),
        (b'{"records": []}', Trouble.INVALID, "Expected `array`"),
        (b"", Trouble.INVALID, "truncated"),
        (b"\xff\xfe", Trouble.INVALID, "backup.json"),
        (None, Trouble.MISSING, "backup.json is not there"),
    ],
)
def test_a_broken_file_fails_alone_and_heals(
    monitor: Monitor, tmp_path: Path, content: bytes | None, trouble: Trouble, said: str
) -> None:
    path = tmp_path / "records" / "backup.json"
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    asyncio.run(monitor.refresh())
    assert success(monitor) == {**WELL, "backup": 0.0}
    reading = monitor.snapshot.backup
    assert reading is not None
    assert reading.trouble is trouble
    assert re.search(said, reading.message), reading.message
    assert reading.read_at is not None  # it was read once, and that stays known
    assert not has(monitor, "jizuo_backup_last_success")  # no frozen value
    assert has(monitor, "jizuo_probe_success")
    assert has(monitor, "jizuo_security_control{")
    write_records(path, records("backup"))
    asyncio.run(monitor.refresh())
    assert success(monitor) == WELL
    assert has(monitor, "jizuo_backup_last_success")


def test_a_record_without_offset_is_refused(monitor: Monitor, tmp_path: Path) -> None:
    path = tmp_path / "records" / "backup.json"
    path.write_bytes(path.read_bytes().replace(b"+00:00", b"").replace(b"+08:00", b""))
    asyncio.run(monitor.refresh())
    assert success(monitor)["backup"] == 0


def test_old_records_are_said_to_be_old_and_stay(monitor: Monitor, tmp_path: Path) -> None:
    write_records(tmp_path / "records" / "backup.json", records("backup", age=101))
    write_records(tmp_path / "records" / "security.json", records("L3-CES1-01", age=101))
    asyncio.run(monitor.refresh())
    assert success(monitor) == {**WELL, "backup": 0.0}
    assert has(monitor, "jizuo_backup_last_success")


def test_records_become_old_without_a_change_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "backup.json"
    write_records(path, records("backup"))
    source = FileSource(path, parse_records, max_age=0.3)
    source.refresh()
    assert source.reading.well
    first = source.reading
    source.refresh()
    assert source.reading is first  # nothing changed: nothing is rendered again
    time.sleep(0.4)
    source.refresh()
    assert source.reading.trouble is Trouble.STALE
    assert source.reading.value == first.value


def test_a_file_that_cannot_be_read_is_seen_again_once_it_can(tmp_path: Path) -> None:
    path = tmp_path / "backup.json"
    path.symlink_to(path)  # a loop: unreadable for everybody, root too
    source = FileSource(path, parse_records)
    source.refresh()
    assert source.reading.trouble is Trouble.UNREADABLE
    assert "backup.json" in source.reading.message
    path.unlink()
    write_records(path, records("backup"))
    source.refresh()
    assert source.reading.well


def test_one_broken_drill_is_named_and_the_others_count(
    monitor: Monitor, tmp_path: Path, drill: Callable[..., DrillRecord]
) -> None:
    write_record(tmp_path / "drills", drill())
    (tmp_path / "drills" / "broken.json").write_text("{")
    asyncio.run(monitor.refresh())
    assert success(monitor) == {**WELL, "drill": 0.0}
    assert has(monitor, "jizuo_drill_rto_seconds")


def test_an_inventory_that_became_wrong_leaves_the_last_in_force(monitor: Monitor, inventory: Path) -> None:
    nodes = inventory / "nodes.csv"
    good = nodes.read_text(encoding="utf-8")
    nodes.write_text(good + "core-a,nowhere,router,again,debian,x86_64,none\n", encoding="utf-8")
    asyncio.run(monitor.refresh())
    assert success(monitor) == {**WELL, "inventory": 0.0}
    assert has(monitor, "jizuo_inventory_info")
    assert monitor.snapshot.inventory.value is not None
    nodes.write_text(good.replace("运维节点1", "运维节点甲"), encoding="utf-8")
    asyncio.run(monitor.refresh())
    assert success(monitor) == WELL
    assert "运维节点甲" in monitor.exposition.body("").plain.decode()


def test_a_collector_that_fails_leaves_the_others_up(
    monitor: Monitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> Any:
        raise ZeroDivisionError("a bug in this collector")

    monkeypatch.setitem(parts.PARTS, "backup", parts.PARTS["backup"]._replace(families=fail))
    write_records(tmp_path / "records" / "backup.json", records("backup"))
    asyncio.run(monitor.refresh())
    assert success(monitor) == {**WELL, "backup": 0.0}
    assert has(monitor, "jizuo_security_control{")


def test_what_did_not_change_is_not_rendered_again(
    monitor: Monitor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: list[str] = []
    replace = monitor.exposition.replace

    def watched(name: str, families: Iterable[Metric]) -> None:
        rendered.append(name)
        replace(name, families)

    monkeypatch.setattr(monitor.exposition, "replace", watched)
    write_records(tmp_path / "records" / "security.json", records("L3-CES1-01"))
    asyncio.run(monitor.refresh())
    assert set(rendered) == {"security", "health", "process"}


def test_a_round_that_fails_keeps_the_last_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    from exporters import probing

    changes: list[int] = []
    loop = ProbeLoop(0.1, 0.05, lambda: changes.append(1))

    async def broken(*arguments: Any, **options: Any) -> Any:
        raise OSError("no more sockets")

    async def scenario(during: Callable[[], None]) -> None:
        task = asyncio.create_task(loop.run())
        await asyncio.sleep(0.25)
        during()
        await asyncio.sleep(0.7)
        task.cancel()

    asyncio.run(scenario(lambda: monkeypatch.setattr(probing, "probe", broken)))
    assert loop.reading.trouble is Trouble.FAILED
    assert "no more sockets" in loop.reading.message
    assert loop.reading.value is None  # three intervals later the last round tells nothing
    assert loop.reading.read_at is not None
    assert len(changes) > 4


def refused(subject: str) -> Target:
    """A target on a port of this machine on which nothing listens."""
    return Target(
        subject=subject, check="tcp://x:1", kind=Kind.TCP, family=Family.IPV4, address="127.0.0.1", port=1
    )


def counts(loop: ProbeLoop) -> dict[str, tuple[int, int]]:
    assert loop.reading.value is not None
    return {key[0]: (total.attempts, total.failures) for key, total in loop.reading.value.totals.items()}


def test_an_edit_of_the_inventory_keeps_the_counters_of_what_stays() -> None:
    async def scenario() -> None:
        loop = ProbeLoop(5, 0.5, lambda: None)
        loop.targets = [refused("stays"), refused("goes")]
        await loop.round()
        await loop.round()
        assert counts(loop) == {"stays": (2, 2), "goes": (2, 2)}
        loop.targets = [refused("comes"), refused("stays")]
        await loop.round()
        assert counts(loop) == {"comes": (1, 1), "stays": (3, 3)}

    asyncio.run(scenario())


def test_an_edit_while_a_round_is_under_way_counts_from_the_next_on() -> None:
    async def scenario() -> None:
        loop = ProbeLoop(5, 0.5, lambda: None)
        loop.targets = [refused("first")]
        under_way = asyncio.create_task(loop.round())
        await asyncio.sleep(0)
        loop.targets = [refused("first"), refused("second")]
        await under_way
        assert counts(loop) == {"first": (1, 1)}
        await loop.round()
        assert counts(loop) == {"first": (2, 2), "second": (1, 1)}

    asyncio.run(scenario())


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Takes every file descriptor that this process may still open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, hard))  # noqa: PTH208
    try:
        with contextlib.suppress(OSError):
            while True:
                held.append(os.open("/dev/null", os.O_RDONLY))
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_sockets_nothing_is_said_of_the_targets_and_the_next_round_is_well() -> None:
    ping = Target(subject="p", check="icmp", kind=Kind.ICMP, family=Family.IPV4, address="127.0.0.1")

    async def scenario() -> None:
        loop = ProbeLoop(5, 0.5, lambda: None)
        loop.targets = [refused("t"), ping]
        await loop.round()  # the threads and sockets that asyncio keeps are open from here on
        before = counts(loop)
        with no_descriptors():
            await loop.round()
        assert loop.reading.value is not None
        assert {record.reason for record in loop.reading.value.records} == {"not_permitted"}
        assert counts(loop) == before, "what could not be probed counts for nothing"
        await loop.round()
        assert counts(loop)["t"] == (2, 2)

    asyncio.run(scenario())
