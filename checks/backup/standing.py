"""How does each system stand: its grade required against had, the rule 3-2-1-1-0, and what is missing? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from checks.backup import copies, grades
from checks.backup.copies import Element, State
from checks.backup.grades import Edition, Missing, Required
from checks.backup.limits import Limits, load_limits
from checks.backup.places import policies_of
from checks.record import Record
from inventories.backups.records import NoBackup
from inventories.records import City, HostedBy, System

_WORST_FIRST = (State.MISSING, State.UNKNOWN, State.MET)


class Standing(NamedTuple):
    """A system that the city hosts.

    Attributes:
        system: the system.
        policies: ids of the policies that cover it.
        reason: why it has none, where that stands in backups.toml.
        required: the grade it needs; None where nothing asks for one, or the edition's figures are not known.
        had: the grade that its weakest policy gives it, 0 where verification found errors; None without a policy,
            or without figures.
        missing: what keeps it from the grade required.
        rule: the elements of 3-2-1-1-0, each as its weakest policy has it; none without a policy.
    """

    system: System
    policies: tuple[str, ...]
    reason: NoBackup | None
    required: Required | None
    had: int | None
    missing: tuple[Missing, ...]
    rule: tuple[Element, ...]

    @property
    def lacking(self) -> tuple[Missing, ...]:
        """Everything that is missing: for the grade, then for the rule, each once."""
        found = {missing.element: missing for missing in self.missing}
        for element in self.rule:
            if element.state is State.MISSING:
                found.setdefault(element.name, Missing(element.name, element.what))
        return tuple(found.values())

    @property
    def gap(self) -> int:
        """How many grades are missing."""
        return max(0, self.required.grade - (self.had or 0)) if self.required and not self.reason else 0


def standings(
    city: City, edition: Edition, records: Sequence[Record] | None = None, limits: Limits | None = None
) -> list[Standing]:
    """Every system that the city hosts, worst first: the widest gap, then the most that is missing.

    Args:
        city: the city.
        edition: the edition of GB/T 20988 that is asked.
        records: what `jizuo check PATH backup` found; None where nobody asked.
        limits: the kit's own unless given.
    """
    found = [
        _standing(city, edition, system, records, limits or load_limits())
        for system in city.systems.values()
        if system.hosted_by is HostedBy.CITY
    ]
    return sorted(found, key=_badness, reverse=True)


def _badness(standing: Standing) -> tuple[bool, int, int, int, bool]:
    required = standing.required.grade if standing.required else 0
    uncovered = not standing.policies and standing.reason is None
    return uncovered, standing.gap, len(standing.lacking), required, standing.reason is None


def _standing(
    city: City, edition: Edition, system: System, records: Sequence[Record] | None, limits: Limits
) -> Standing:
    policies = policies_of(city, system)
    needed = grades.required(edition, system)
    if not policies:
        reason = city.backup_places.without.get(system.id) if city.backup_places else None
        missing = () if reason else (Missing("policy", f"no policy, and no reason in [without.{system.id}]"),)
        return Standing(system, (), reason, None if reason else needed, None, missing, ())
    rule = tuple(_weakest([copies.rule(city, system, policy, limits, records) for policy in policies]))
    given = min(grades.had(edition, city, system, policy) for policy in policies) if edition.grades else None
    found: dict[str, Missing] = {}
    if needed is not None:
        grade = edition.grade(needed.grade)
        for policy in policies:
            for lacking in grades.missing_at(grade, city, system, policy):
                found.setdefault(lacking.element, lacking)
    errors = rule[-1]
    if errors.state is State.MISSING and edition.grades:
        # 按介质特性对备份数据进行定期的有效性验证 is asked from grade 1 on: what does not come back has no grade.
        given = 0
        found[errors.name] = Missing(errors.name, errors.what)
    names = tuple(policy.id for policy in policies)
    return Standing(system, names, None, needed, given, tuple(found.values()), rule)


def _weakest(rules: Sequence[Sequence[Element]]) -> list[Element]:
    """Each element as the policy has it that has it worst: what is in one policy alone is no safer than that."""
    return [
        min(column, key=lambda element: _WORST_FIRST.index(element.state))
        for column in zip(*rules, strict=True)
    ]
