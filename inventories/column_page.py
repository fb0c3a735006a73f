"""The reference page of a city's files, in Markdown: each column or key with its type, default, meaning and example."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from inventories.column_guide import TABLES, ColumnGuide


def reference_page(rows: Sequence[ColumnGuide]) -> str:
    """The page of the files that `rows` speak of; a file with tables of several kinds has a section for each."""
    parts = []
    for file in dict.fromkeys(row.file for row in rows):
        ours = [row for row in rows if row.file == file]
        parts.append(f"# {file}\n")
        if file not in TABLES:
            parts.append(_table(ours, ""))
            if file.endswith(".csv"):
                parts.append(
                    _block("csv", [",".join(r.column for r in ours), ",".join(r.example for r in ours)])
                )
            continue
        parts.append("Keys that are not listed are refused. Together, with every key:\n")
        parts.append(_block("toml", example(file, ours).splitlines()))
        for table in TABLES[file]:
            keys = [row for row in ours if _table_of(row) == table]
            parts += [f"## `{_header(file, table, ours)}`\n", _table(keys, f"{table}.")]
    return "\n".join(parts)


def example(file: str, rows: Sequence[ColumnGuide]) -> str:
    """A file with tables that holds every key, made of the examples; it is a valid one but for what it refers to."""
    lines: list[str] = []
    for table in TABLES[file]:
        lines += ["", _header(file, table, rows)]
        for row in rows:
            name = row.column.removeprefix(f"{table}.")
            if _table_of(row) != table or row.column in TABLES[file] or row.example.startswith(f"[{table}"):
                continue  # a table of its own, or the name in the header
            lines.append(f"{name} = {row.example}")
    return "\n".join(lines[1:])


def _table_of(row: ColumnGuide) -> str:
    return row.column.rpartition(".")[0]


def _header(file: str, table: str, rows: Iterable[ColumnGuide]) -> str:
    """A table's header in an example: `[policy.digital-museum]`, `[policy.digital-museum.verify]`, `[[rule]]`."""
    examples = {row.column: row.example for row in rows}
    given = examples.get(f"{table}.id", "")
    if given.startswith("["):
        return given
    above, _, name = table.rpartition(".")
    if not above:
        return f"[[{table}]]"
    if examples.get(table, "").startswith("[["):
        return examples[table]
    return f"{_header(file, above, rows)[:-1]}.{name}]"


def _table(rows: Iterable[ColumnGuide], prefix: str) -> str:
    lines = ["| key | what | type | default | example |", "|---|---|---|---|---|"]
    for row in rows:
        default = "required" if row.required else (f"`{row.default}`" if row.default else "")
        default = "in the header" if row.example.startswith(f"[{prefix}") else default
        cells = [f"`{row.column.removeprefix(prefix)}`", row.meaning, row.values, default, f"`{row.example}`"]
        lines.append(
            "| " + " | ".join(cell.replace("|", "\\|") if cell != "``" else "" for cell in cells) + " |"
        )
    return "\n".join(lines) + "\n"


def _block(language: str, lines: Iterable[str]) -> str:
    return "\n".join([f"```{language}", *lines, "```", ""])
