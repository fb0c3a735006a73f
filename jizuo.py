"""The front door: one `jizuo` command, whose subcommands the rooms register; no room is imported until asked."""

from __future__ import annotations

import importlib
import sys
import textwrap
from typing import Any, NamedTuple, cast

import click

#: click ends with 2 for a wrong option; here 2 means changes pending or findings, and a wrong call is a failure.
click.UsageError.exit_code = 1


class Registered(NamedTuple):
    """Where a subcommand stands, and the line that `jizuo --help` prints for it."""

    module: str
    attribute: str
    help: str


#: Every subcommand, in the order in which a city is built.
COMMANDS = {
    "inventory": Registered("inventories.cli", "inventory", "Validate and show what exists."),
    "plan": Registered("inventories.plan_cli", "plan", "Print the address plan in both families."),
    "topology": Registered("inventories.topology_cli", "topology", "Draw the network, or print it as data."),
    "policy": Registered("inventories.policy.cli", "policy", "Who may reach what: show, lint, explain."),
    "lab": Registered("deploy.lab.cli", "lab", "Boot the inventory's hosts on this machine."),
    "deploy": Registered("deploy.cli", "deploy", "Bring hosts to the state that the inventory describes."),
    "drift": Registered(
        "deploy.drift.cli", "drift", "Where hosts differ from the inventory; changes nothing."
    ),
    "router": Registered("deploy.vendors.cli", "router", "Routers that are no Linux: show, compare, push."),
    "check": Registered("checks.cli", "check", "Audit the city: availability, extranet, security, backups."),
    "status": Registered("exporters.status.cli", "status", "How the city stands, on one screen."),
    "coverage": Registered("exporters.coverage_cli", "coverage", "How far the five levels reach (村村通)."),
    "backup": Registered("jizuo", "backup", "Backups: how they stand, run, verify, restore, escrow."),
    "drill": Registered("checks.drills.cli", "drill", "Run disaster-recovery drills and read their records."),
    "exporter": Registered("exporters.cli", "exporter", "Serve metrics to Prometheus, and the status page."),
    "demo": Registered("deploy.lab.demo", "demo", "The main job on one machine: lab, deploy, checks, drill."),
    "test": Registered("tests.commands", "test", "Lint, types, import contract and all tests."),
    "bench": Registered("tests.commands", "bench", "Run the benchmarks."),
}


#: What `jizuo backup` holds: what acts on hosts is the checks', the kit of secrets the deploys'.
BACKUP = {
    "list": Registered("checks.backup.list_cli", "list_policies", "What is backed up, how often, to where."),
    "status": Registered("checks.backup.jobs_cli", "status", "How every job stands, the worst first."),
    "run": Registered("checks.backup.jobs_cli", "run", "Take a backup now and follow it."),
    "verify": Registered(
        "checks.backup.jobs_cli", "verify", "Check repositories, restore a sample, say what is proven."
    ),
    "timer": Registered(
        "deploy.controller.cli", "timer", "Units that verify restores on other hosts by themselves."
    ),
    "restore": Registered(
        "checks.backup.restore_cli", "restore", "Bring a system's data back, compared by hash."
    ),
    "grade": Registered(
        "checks.backup.grade_cli", "grade", "Grades of GB/T 20988 and 3-2-1-1-0, required and had."
    ),
    "prune": Registered(
        "checks.backup.prune_cli", "prune", "What repository nodes would remove, and let them."
    ),
    "escrow": Registered("deploy.backup.escrow.cli", "escrow", "The recovery kit: make it, see if it holds."),
}


class Lazy(click.Group):
    """A group that imports a subcommand's module only when that subcommand runs."""

    def __init__(self, *arguments: Any, registered: dict[str, Registered], **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.registered = registered

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.registered)

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        registered = self.registered.get(name)
        if registered is None:
            return None
        if registered.module == __name__ or registered.module == "jizuo":  # as a script this is __main__
            return cast(click.Command, globals()[registered.attribute])
        try:
            module = importlib.import_module(registered.module)
        except ModuleNotFoundError as error:
            # An installed kit has no tests; any other module that is missing is a fault of the kit.
            if registered.module.partition(".")[0] != "tests" or error.name not in (
                "tests",
                registered.module,
            ):
                raise
            message = f"jizuo {name} needs the source tree; run ./jizuo {name} there"
            raise click.ClickException(message) from error
        command = getattr(module, registered.attribute)
        assert isinstance(command, click.Command)  # noqa: S101 - the table above is wrong otherwise
        return command

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, registered.help) for name, registered in self.registered.items()])

    def resolve_command(self, context: click.Context, arguments: list[str]) -> Any:
        if arguments and arguments[0] not in self.registered:
            known = textwrap.fill(", ".join(self.registered), 76, initial_indent="  ", subsequent_indent="  ")
            context.fail(f"no such command: {arguments[0]}; the commands are:\n{known}")
        return super().resolve_command(context, arguments)


class FrontDoor(Lazy):
    """The command `jizuo` itself."""

    def main(self, *arguments: Any, **settings: Any) -> Any:
        """Run; usage speaks of `jizuo`, whichever file started it: jizuo.py or the console script."""
        return super().main(*arguments, **{"prog_name": "jizuo", **settings})


@click.group(
    cls=FrontDoor,
    registered=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Examples:
  jizuo inventory validate inventories/yichun
  jizuo plan inventories/yichun --format csv --out plan/
  sudo jizuo lab up
  sudo jizuo demo --keep""",
)
@click.version_option(package_name="jizuo", prog_name="jizuo")
def main() -> None:
    """jizuo (基座): the digital base of a city as code."""


@click.group(
    cls=Lazy,
    registered=BACKUP,
    epilog="""\b
Examples:
  jizuo backup status inventories/lab
  jizuo backup run inventories/lab gov-service
  jizuo backup verify inventories/lab --read-all
  jizuo backup restore inventories/lab gov-data-portal --to /srv/back --dry
  jizuo backup escrow make inventories/lab --recipient age1... --out kit.age""",
)
def backup() -> None:
    """Backups: how the jobs stand, run and verify them, restore, hand out the recovery kit."""


if __name__ == "__main__":
    sys.exit(main())
