"""How does an object of a city, described as plain data, look to a person?"""

from __future__ import annotations

from typing import Any

from rich.text import Text
from rich.tree import Tree

from inventories.cells import duration

#: Keys whose value is a number of seconds.
_DURATIONS = ("rpo", "rto", "check", "read_all", "restore")


def render_object(data: dict[str, Any]) -> Tree:
    """The description of an object (:meth:`inventories.show.Inspector.describe`) as a tree."""
    title = data.get("name") or data.get("id") or data.get("code")
    tree = Tree(Text.assemble((str(title), "bold"), (f"  {data['object']}", "cyan")))
    _render_fields(tree, {key: value for key, value in data.items() if key != "object"})
    return tree


def _render_fields(tree: Tree, data: dict[str, Any]) -> None:
    for key, value in data.items():
        if isinstance(value, dict):
            if all(isinstance(item, str | int) for item in value.values()):
                tree.add(_line(key, ", ".join(f"{_word(k)} {_short(k, v)}" for k, v in value.items())))
            else:
                _render_fields(tree.add(_line(key, "")), value)
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            branch = tree.add(_line(key, ""))
            for item in value:
                _render_item(branch, item)
        elif isinstance(value, list):
            tree.add(_line(key, "; ".join(map(str, value))))
        else:
            tree.add(_line(key, _short(key, value)))


def _render_item(branch: Tree, item: dict[str, Any]) -> None:
    """An element of a list: its first value names it, short ones stand beside it, the others below."""
    plain = {key: value for key, value in item.items() if isinstance(value, str | int)}
    (_, name), *rest = plain.items()
    below = branch.add(
        _line(str(name), ", ".join(f"{_word(key)} {_short(key, value)}" for key, value in rest))
    )
    _render_fields(below, {key: value for key, value in item.items() if key not in plain})


def _line(key: str, value: str) -> Text:
    return Text.assemble((_word(key), "bold"), f"  {value}" if value else "")


def _word(key: str) -> str:
    return key.replace("_", " ")


def _short(key: str, value: object) -> str:
    return duration(value) if key in _DURATIONS and isinstance(value, int) else str(value)
