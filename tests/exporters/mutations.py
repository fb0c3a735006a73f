"""Which rules are wrong by one thing? Mutations of an alert's expression and of its `for`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

_COMPARISON = re.compile(r" (==|>|<) (bool )?")
_COMPARISONS = {"==": ("!=",), ">": ("<",), "<": (">",)}
_AGGREGATION = re.compile(r"\b(max|min|sum) by \(")
_AGGREGATIONS = {"max": "min", "min": "max", "sum": "count"}
#: A matcher within braces, with the comma before or after it.
_MATCHER = re.compile(r'(?<=[{ ])([a-z_]+)(=~|!=|!~|=)"([^"]*)"(, )?')
_NUMBER = re.compile(r"(?<![\w.:])\d+(\.\d+)?(?![\w.:\]])")
_ON = re.compile(r"\bon \(([a-z, ]+)\) ")
_WINDOW = re.compile(r"ratio(\d+[mhd])\b")
_RANGE = re.compile(r"\[(\d+)m\]")
_WIDER = {"5m": "30m", "30m": "5m", "1h": "6h", "6h": "3d", "3d": "6h"}


def mutated(rule: dict[str, Any], step: int) -> Iterator[dict[str, Any]]:
    """The rule with one thing wrong at a time; `step` is the minutes between evaluations of its unit tests."""
    for expression in sorted(set(_expressions(rule["expr"])) - {rule["expr"]}):
        yield {**rule, "expr": expression}
    # One that never holds, and one that holds on everything: of some rules no part can be wrong by itself.
    yield {**rule, "expr": f"({rule['expr']}) and on () (vector(0) == 1)"}
    if "vector" not in rule["expr"]:
        yield {**rule, "expr": f"({rule['expr']}) or vector(1)"}
    minutes = int(rule.get("for", "0m").removesuffix("m"))
    if minutes and step == 1:  # a coarser step does not see a minute
        yield {name: value for name, value in rule.items() if name != "for"}
        yield {**rule, "for": f"{minutes + 1}m"}
        if minutes > 1:
            yield {**rule, "for": f"{minutes - 1}m"}


def _expressions(expression: str) -> Iterator[str]:
    def each(pattern: re.Pattern[str], make: Any) -> Iterator[str]:
        for match in pattern.finditer(expression):
            for new in make(match):
                yield expression[: match.start()] + new + expression[match.end() :]

    yield from each(_COMPARISON, lambda m: [f" {other} " for other in _COMPARISONS[m[1]]])
    yield from each(_AGGREGATION, lambda m: [f"{_AGGREGATIONS[m[1]]} by ("])
    yield from each(_NUMBER, lambda m: _other_numbers(m[0]))
    yield from each(_MATCHER, _other_matchers)
    yield from each(re.compile(r" and "), lambda m: [" or ", " unless "])
    yield from each(re.compile(r" unless "), lambda m: [" and "])
    yield from each(re.compile(r"(^|\s)or(?=\s)"), lambda m: [f"{m[1]}and", f"{m[1]}unless"])
    yield from each(_ON, lambda m: [f"on ({m[1].rpartition(', ')[0]}) "] if ", " in m[1] else [])
    yield from each(_WINDOW, lambda m: [f"ratio{_WIDER[m[1]]}"])
    yield from each(_RANGE, lambda m: [f"[{int(m[1]) * 2}m]", f"[{int(m[1]) // 3}m]"])


def _other_numbers(number: str) -> list[str]:
    """A threshold a tenth higher and lower; of a verdict, the other one."""
    if number in {"0", "1"}:
        return ["1" if number == "0" else "0"]
    return [f"{float(number) * 1.1:g}", f"{float(number) * 0.9:g}"]


def _other_matchers(match: re.Match[str]) -> list[str]:
    name, operator, value, comma = match[1], match[2], match[3], match[4] or ""
    negated = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}[operator]
    made = ["", f'{name}{negated}"{value}"{comma}']
    made += [f'{name}=~"{part}"{comma}' for part in value.split("|") if "|" in value]
    return made
