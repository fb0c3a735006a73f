"""Which services and rules does `policy.toml` hold, and where in the file does each stand?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from inventories.documents import Document, KeyPath
from inventories.policy.records import PolicyRule, PolicyService
from inventories.problems import Problem, shown
from inventories.read_tables import TableReader
from inventories.sources import Source
from inventories.texts import read_text


def read_policy(path: Path) -> tuple[Source[PolicyService], Source[PolicyRule], list[Problem]]:
    """Reads `policy.toml`: a table `[service.ID]` for each service, and the rules `[[rule]]` in their order."""
    text, problems = read_text(path)
    if text is None:
        return Source(str(path), readable=False), Source(str(path), readable=False), problems
    reader = _PolicyReader(Document(str(path), text))
    services = Source[PolicyService](str(path), locate=reader.locate_service)
    rules = Source[PolicyRule](str(path), locate=reader.locate_rule)
    services.readable = rules.readable = not reader.document.problems
    for key, value in reader.document.data.items():
        if key == "service" and isinstance(value, dict):
            for identifier, table in value.items():
                _keep(services, identifier, reader.service(identifier, table))
        elif key == "rule" and isinstance(value, list):
            for number, table in enumerate(value):
                reader.rule(number, table, rules)
        else:
            what = f"{shown(key)} is none of a policy's tables"
            fix = "write services as [service.ID] and rules as [[rule]]"
            reader.report((key,), what, fix)
    return services, rules, [*problems, *reader.document.problems, *reader.problems]


def _keep(source: Source[Any], identifier: str, record: PolicyService | PolicyRule | None) -> None:
    if record is None:
        source.broken.add(identifier)
    else:
        source.records[identifier] = record


class _PolicyReader(TableReader):
    """Reads the tables of a policy; remembers at which place each rule stands."""

    def __init__(self, document: Document) -> None:
        super().__init__(document)
        self.numbers: dict[str, int] = {}

    def service(self, identifier: str, table: Any) -> PolicyService | None:
        path: KeyPath = ("service", identifier)
        if not isinstance(table, dict):
            self.report(path, f"service {shown(identifier)} is no table", f"write [service.{identifier}]")
            return None
        if "id" in table:
            self.report((*path, "id"), "id is given by the table's name", "remove it")
            return None
        return self.record(path, {**table, "id": identifier}, PolicyService)

    def rule(self, number: int, table: Any, rules: Source[PolicyRule]) -> None:
        path: KeyPath = ("rule", number)
        if not isinstance(table, dict):
            self.report(path, "a rule is no table", "write each as [[rule]]")
            return
        rule = self.record(path, table, PolicyRule)
        identifier = table.get("id")
        if not isinstance(identifier, str):
            return
        if identifier in self.numbers:
            line, _ = self.document.value_position(("rule", self.numbers[identifier], "id"))
            what = f"rule {shown(identifier)} stands twice: line {line} has it already"
            self.report((*path, "id"), what, "give one of the two another id", at_value=True)
            return
        self.numbers[identifier] = number
        _keep(rules, identifier, rule)

    def locate_service(self, key: str, field: str, element: int | None) -> tuple[int, int]:
        """Position of a field of a service; of its header when it has no such field."""
        path: KeyPath = ("service", key, field)
        return self.document.value_position(path if element is None else (*path, element))

    def locate_rule(self, key: str, field: str, element: int | None) -> tuple[int, int]:
        """Position of a field of a rule; of its header when it has no such field."""
        path: KeyPath = ("rule", self.numbers[key], field)
        return self.document.value_position(path if element is None else (*path, element))
