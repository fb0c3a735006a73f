"""Which steps does a drill have? Those that its playbooks take, and those that people take."""

from __future__ import annotations

from collections.abc import Iterator

import click
import yaml

from checks.drills.definition import ALL_STAGES, FALLBACK, RESTORE
from checks.drills.held import MONITORING, Held
from checks.drills.record import Kind


def steps_of(held: Held, stage: str) -> list[tuple[str, str]]:
    """The steps of a stage: where (empty: people), and what."""
    steps = [("", text) for text in held.definition.steps.get(stage, ())]
    path = held.playbooks.get(stage)
    if path is None:
        return steps
    for play in yaml.safe_load(path.read_text(encoding="utf-8")):
        groups = play["hosts"].split(":")
        hosts = [node for group in groups for node in held.groups.get(group, (group,))]
        where = ", ".join(dict.fromkeys(hosts))
        steps += [(where, text) for text in _tasks(play)]
    return steps


def _tasks(play: dict[str, object]) -> Iterator[str]:
    for part in ("pre_tasks", "tasks", "post_tasks"):
        listed = play.get(part) or []
        for task in listed if isinstance(listed, list) else []:
            yield str(task.get("name", "(a task without a name)"))


def show_steps(held: Held) -> None:
    """Print what the drill is, its objectives, what has to detect it, and every step."""
    definition = held.definition
    click.echo(f"{held.name}: {definition.title} ({definition.plan.id} {definition.plan.version})")
    rpo = "none" if held.rpo is None else f"{held.rpo:.0f} s"
    click.echo(
        f"{definition.kind.value}, {definition.notice.value}, every {definition.every}: {definition.scope}"
    )
    click.echo(f"objectives: RTO {held.rto:.0f} s, RPO {rpo}")
    for group, nodes in held.nodes.items():
        click.echo(f"{group}: {', '.join(nodes)}")
    if rule := definition.detection:
        labels = "".join(f", {name}={value}" for name, value in rule.labels.items())
        watching = ", ".join(held.groups.get(MONITORING, ())) or "nobody"
        click.echo(
            f"detected by: {rule.alert}{labels}, as Prometheus on {watching} says, within {rule.within}"
        )
    if definition.kind is Kind.SIMULATED:
        click.echo(
            "simulated: no fault is made (inject), and detection is not measured; the rest is for real"
        )
    for stage in ("health", *ALL_STAGES):
        steps = steps_of(held, stage)
        if stage == "decide":
            steps.append(("", "a person decides whether to recover"))
        if steps:
            click.echo(f"\n{stage}{' (always)' if stage in (FALLBACK, RESTORE) else ''}")
        for where, text in steps:
            click.echo(f"  {where or 'people'}: {text}")
