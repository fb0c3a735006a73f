"""`jizuo demo`: the main job on one machine, from the divisions of Yichun to one table that says how the city stands.

Every step calls the commands that a person would type; what they print for programs is what is counted.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from deploy.lab import databases
from deploy.lab import lab as labs
from deploy.lab.cli import check_name, parse_management
from deploy.lab.failover import INTERVAL, plane_failover
from deploy.lab.figures import Audit, ByFamily, Controls, DrillFigures, Figures, print_figures
from deploy.lab.image import build_image
from deploy.lab.keys import private_write
from deploy.lab.machine import LAB_PROGRAMS, check_root, install, missing_packages
from deploy.lab.run import LabError
from deploy.login.asking import ask
from deploy.login.keys import login
from deploy.operations.supplies import fetch_supplies
from deploy.secrets import SecretStore
from inventories.allocation import PlanError
from inventories.hosts import EXPORTER_PORT
from inventories.load import load_city
from inventories.monitoring import PROMETHEUS_PORT
from inventories.plan import build_plan
from inventories.problems import InventoryError
from inventories.records import Family, Management, NodeRole, Plane

ROOT = Path(__file__).resolve().parents[2]
CITY = ROOT / "inventories" / "yichun"
LAB = ROOT / "inventories" / "lab"
#: The steps, with the share of the whole that each takes, for the estimate of what is left.
STEPS = {
    "set-up": 1,
    "address plan": 1,
    "lab": 3,
    "first deploy": 40,
    "second deploy": 6,
    "availability": 4,
    "failover": 4,
    "extranet audit": 5,
    "backups": 10,
    "security": 4,
    "drill": 30,
    "monitoring": 7,
}
#: The drill that is held; the others: jizuo drill list.
DRILL = "restore-system-offsite"
#: How long the city is given to settle after the first deploy, in seconds.
SETTLE = 60


class Demo:
    """One run of the demo: its figures, and what is not well."""

    def __init__(self, name: str, management: Management | None, quiet: bool) -> None:
        self.name = name
        self.management = management
        self.quiet = quiet
        self.figures = Figures()
        self.began = time.monotonic()
        self.done = 0
        self.console = Console(stderr=True)
        self.lab: labs.Lab | None = None

    def say(self, text: str) -> None:
        if not self.quiet:
            self.console.print(
                f"{time.monotonic() - self.began:6.1f} s  {text}", highlight=False, soft_wrap=True
            )

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Run a step; what goes wrong in it becomes a reason, and the steps that follow still run."""
        left = sum(STEPS.values()) - self.done
        share = self.done / sum(STEPS.values())
        elapsed = time.monotonic() - self.began
        estimate = f", about {elapsed * left / self.done:.0f} s left" if share > 0.1 else ""
        began = time.monotonic()
        self.say(f"[bold]{name}[/] (step {list(STEPS).index(name) + 1} of {len(STEPS)}{estimate})")
        try:
            yield
        except (
            LabError,
            InventoryError,
            PlanError,
            OSError,
            subprocess.SubprocessError,
            ValueError,
            KeyError,
        ) as error:
            self.not_well(name, f"{type(error).__name__}: {error}" if not str(error).strip() else str(error))
        finally:
            self.done += STEPS[name]
            self.say(f"    {name} took {time.monotonic() - began:.1f} s")

    def not_well(self, name: str, why: str) -> None:
        self.figures.reasons.append(f"{name}: {why}")
        self.say(f"[red]{name} is not well:[/] {why}")

    def jizuo(
        self, *arguments: str, timeout: float = 600, accept: tuple[int, ...] = (0, 2)
    ) -> tuple[int, str]:
        """Run a jizuo command as a person would; returns its exit code, one of `accept`, and what it printed."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "jizuo.py"), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            cwd=ROOT,
            check=False,
            env={**labs.environment(self.name)},
        )
        if done.returncode not in accept or not done.stdout.strip():
            said = (done.stderr or done.stdout).strip().splitlines()
            raise LabError(
                f"jizuo {' '.join(arguments[:3])} ended with {done.returncode}: {' | '.join(said[-3:])}"
            )
        return done.returncode, done.stdout

    def run(self) -> Figures:
        """All steps in order."""
        with self.step("set-up"):
            check_root()
            install(missing_packages(LAB_PROGRAMS), self.say)
            self.say("    base image")
            build_image()
        with self.step("address plan"):
            self.plan()
        with self.step("lab"), ThreadPoolExecutor(1) as pool:
            # The mirror's packages are fetched while the hosts boot; the deploy would wait for them otherwise.
            supplies = pool.submit(fetch_supplies)
            self.lab = labs.up(self.name, LAB, self.management, lambda text: self.say(f"    {text}"))
            self.figures.hosts = len(self.lab.record.hosts)
            self.figures.boot_seconds = self.lab.record.boot_seconds
            self.say("    packages for the mirror")
            supplies.result()
        if self.lab is None:
            return self.end()
        for name, part in (
            ("first deploy", self.first_deploy),
            ("second deploy", self.second_deploy),
            ("availability", self.availability),
            ("failover", self.failover),
            ("extranet audit", self.extranet),
            ("backups", self.backups),
            ("security", self.security),
            ("drill", self.drill),
            ("monitoring", self.monitoring),
        ):
            with self.step(name):
                part()
        return self.end()

    def end(self) -> Figures:
        self.figures.total_seconds = round(time.monotonic() - self.began, 1)
        return self.figures

    def plan(self) -> None:
        began = time.monotonic()
        city = load_city(CITY)
        plan = build_plan(city)
        self.figures.prefixes = sum(1 for _ in plan.prefixes())
        self.figures.addresses = sum(1 for _ in plan.addresses())
        self.figures.divisions = sum(code.startswith(city.layout.division) for code in city.divisions)
        self.figures.plan_seconds = round(time.monotonic() - began, 2)

    def deployed(self) -> tuple[int, float]:
        _, text = self.jizuo("deploy", str(LAB), "--json", timeout=900, accept=(0, 1))
        result = json.loads(text)
        failed = [
            f"{name} failed at {host['failed']}: {' | '.join(host['detail'].splitlines()[-2:])}"
            for name, host in result["hosts"].items()
            if host["failed"]
        ]
        if failed or result["error"]:
            raise LabError("; ".join([*failed, result["error"]]).strip("; "))
        return sum(len(host["changed"]) for host in result["hosts"].values()), result["seconds"]

    def first_deploy(self) -> None:
        self.figures.first_deploy_changed, self.figures.first_deploy_seconds = self.deployed()

    def second_deploy(self) -> None:
        self.figures.second_deploy_changed, self.figures.second_deploy_seconds = self.deployed()
        if self.figures.second_deploy_changed:
            raise LabError(f"{self.figures.second_deploy_changed} operations changed something again")

    def check(self, kind: str) -> list[dict[str, Any]]:
        _, text = self.jizuo("check", str(LAB), kind, "--format", "json")
        records: list[dict[str, Any]] = json.loads(text)
        return records

    def availability(self) -> None:
        records = wait_for(lambda: self.check("availability"), lambda found: not failing(found), SETTLE)
        up, total = ByFamily(), ByFamily()
        for record in records:
            if record["family"] in ("ipv4", "ipv6"):
                family = record["family"]
                setattr(total, family, getattr(total, family) + 1)
                setattr(up, family, getattr(up, family) + (record["status"] == "pass"))
        self.figures.targets_up, self.figures.targets_total = up, total
        for record in failing(records):
            self.not_well(
                "availability",
                f"{record['subject']} {record['check']} over {record['family']}: {record['reason']}",
            )

    def failover(self) -> None:
        assert self.lab is not None  # noqa: S101 - run() ends before this without a lab
        runs = [plane_failover(self.lab, plane) for plane in (Plane.A, Plane.B)]
        # A flow that ran over the other plane loses nothing; what counts is the plane that it ran over.
        lost = {family: max(run[family] for run in runs) for family in Family}
        self.figures.failover_lost_packets = ByFamily(ipv4=lost[Family.IPV4], ipv6=lost[Family.IPV6])
        self.figures.failover_interval_seconds = INTERVAL
        worst = max(lost.values()) * INTERVAL
        if worst > 1:
            raise LabError(f"the client was cut off for {worst:.1f} s while a plane was cut; 1 s is allowed")

    def extranet(self) -> None:
        records = wait_for(lambda: self.check("extranet"), lambda found: not failing(found), SETTLE)
        states = [record["status"] for record in records]
        self.figures.extranet = Audit(
            as_planned=states.count("pass"),
            findings=len(failing(records)),
            not_applicable=states.count("not_applicable"),
        )
        for record in failing(records)[:20]:
            self.not_well("extranet audit", f"{record['subject']} {record['check']}: {record['evidence']}")

    def backups(self) -> None:
        assert self.lab is not None  # noqa: S101 - as above
        for policy in self.lab.city.backups.values():
            for node in nodes_of(self.lab, policy.systems):
                start = ["systemctl", "start", f"jizuo-backup@{policy.id}.service"]
                command = [*labs.enter(self.lab, node), *start]
                subprocess.run(command, check=True, capture_output=True, timeout=300)
        databases.hurry(self.lab)
        for _ in range(2):  # one repository of a policy each time
            self.jizuo("backup", "verify", str(LAB), "--elsewhere", "--json")
        # Monitoring learns of it now, not at the next turn of its timer: no drill begins while an alert is critical.
        self.check_on_operations("backup")
        records = self.check("backup")
        jobs = [record for record in records if record["check"] == "backup"]
        self.figures.backups_total = len(jobs)
        self.figures.backups_fresh = sum(record["status"] == "pass" for record in jobs)
        self.figures.restores_verified = sum(
            record["status"] == "pass" and record["check"].startswith("restore-test:") for record in records
        )
        for record in failing(records):
            self.not_well("backups", f"{record['subject']} {record['check']}: {record['evidence']}")

    def security(self) -> None:
        names = {"pass": "compliant", "fail": "noncompliant"}
        controls = Controls()
        # Clocks agree some seconds after the last host got its time service.
        records = wait_for(lambda: self.check("security"), lambda found: not failing(found), SETTLE)
        for record in records:
            state = names.get(record["status"], record["status"])
            if state != "error":  # nothing is known of that control
                setattr(controls, state, getattr(controls, state) + 1)
            if record["status"] in ("fail", "error"):
                self.not_well("security", f"{record['subject']} {record['check']}: {record['evidence']}")
        self.figures.controls = controls

    def drill(self) -> None:
        # It goes on when monitoring has noticed the fault: the alarm itself comes three minutes later. Backups that
        # were taken just now may still be missed by an alert until the rules are evaluated again; and of some minutes
        # that were watched, three seconds of a failed probe are so large a part that the burn of a budget lasts on.
        rehearsal = ("--yes", "--json", "--decide-on", "pending", "--healthy-within", "300")
        code, text = self.jizuo("drill", "run", DRILL, "--inventory", str(LAB), *rehearsal)
        measured = json.loads(text)["measured"]
        self.figures.drill = DrillFigures(**{name: measured[name] for name in DrillFigures.__struct_fields__})
        if code != 0:
            self.not_well("drill", f"{DRILL} missed its objective or left something undone")

    def operations(self) -> str:
        """The operations node."""
        assert self.lab is not None  # noqa: S101 - as above
        return next(node.id for node in self.lab.city.nodes.values() if node.role is NodeRole.OPERATIONS)

    def check_on_operations(self, check: str) -> None:
        """Run a check where its timer runs it, and wait for its end."""
        assert self.lab is not None  # noqa: S101 - as above
        command = [
            *labs.enter(self.lab, self.operations()),
            "systemctl",
            "start",
            f"jizuo-check-{check}.service",
        ]
        subprocess.run(command, check=True, capture_output=True, timeout=300)

    def monitoring(self) -> None:
        assert self.lab is not None  # noqa: S101 - as above
        node = self.operations()
        address = self.lab.record.hosts[node][1]
        self.figures.prometheus_url = f"https://[{address}]:{PROMETHEUS_PORT}"
        self.figures.status_page_url = f"https://[{address}]:{EXPORTER_PORT}/"
        reader = login(SecretStore(self.lab.places.state / "secrets"))
        self.figures.monitoring_user = reader.user
        self.figures.monitoring_password_file = str(reader.password_file)
        self.figures.monitoring_authority = str(reader.ca)
        # The checks of the operations node run every few minutes; the page shall show what this run did.
        for check in ("backup", "security"):
            self.check_on_operations(check)

        def targets() -> list[dict[str, Any]]:
            answer = json.loads(ask(f"{self.figures.prometheus_url}/api/v1/targets?state=active", reader))
            found: list[dict[str, Any]] = answer["data"]["activeTargets"]
            return found

        found = wait_for(targets, lambda all_of_them: all(x["health"] == "up" for x in all_of_them), SETTLE)
        self.figures.prometheus_targets_total = len(found)
        self.figures.prometheus_targets_up = sum(target["health"] == "up" for target in found)
        for target in found:
            if target["health"] != "up":
                self.not_well(
                    "monitoring", f"{target['scrapeUrl']}: {target['lastError'] or target['health']}"
                )
        page = ask(self.figures.status_page_url, reader).decode()
        if "宜春" not in page:
            raise LabError(f"the status page at {self.figures.status_page_url} does not name the city")


def nodes_of(lab: labs.Lab, systems: tuple[str, ...]) -> list[str]:
    """The nodes that these systems stand on, each once."""
    return list(dict.fromkeys(node for system in systems for node in lab.city.systems[system].nodes))


def failing(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The records that are findings, or could not be had."""
    return [record for record in records if record["status"] in ("fail", "error")]


def wait_for(ask: Callable[[], Any], enough: Callable[[Any], bool], seconds: float) -> Any:
    """Ask again every other second until the answer is good enough or the time is over; returns the last answer."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            answer = ask()
            if enough(answer) or time.monotonic() > deadline:
                return answer
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if time.monotonic() > deadline:
                raise
        time.sleep(2)


@click.command(
    epilog="""\b
Examples:
  sudo jizuo demo
  sudo jizuo demo --keep            # the lab stays up, with Prometheus
  sudo jizuo demo --json demo.json  # the same figures for a program

\b
Exit codes: 0 all well, 1 something is not, and the reason is printed."""
)
@click.option("--keep", is_flag=True, help="Leave the lab up at the end.")
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="Write the figures here too."
)
@click.option("--name", default="lab", show_default=True, callback=check_name, help="The lab's name.")
@click.option(
    "--management", callback=parse_management, help="Management prefixes, IPV4,IPV6, in place of the city's."
)
@click.option("--quiet", "-q", is_flag=True, help="Only the table.")
def demo(keep: bool, json_file: Path | None, name: str, management: Management | None, quiet: bool) -> None:
    """Plan all of Yichun, boot its lab, deploy it twice, check it, back it up, drill it, and print one table."""
    try:
        check_root()
    except LabError as error:
        raise click.ClickException(str(error)) from error
    if json_file is not None and not json_file.absolute().parent.is_dir():
        raise click.ClickException(
            f"{json_file.absolute().parent} is not a folder; the figures cannot go there"
        )
    here = Demo(name, management, quiet)
    try:
        figures = here.run()
    finally:
        if not keep and here.lab is not None:
            labs.down(name)
    print_figures(figures, kept=keep)
    if json_file is not None:
        try:
            private_write(json_file, msgspec.json.format(msgspec.json.encode(figures)) + b"\n", 0o644)
        except OSError as error:
            raise click.ClickException(f"the figures cannot be written: {error}") from error
    sys.exit(1 if figures.reasons else 0)
