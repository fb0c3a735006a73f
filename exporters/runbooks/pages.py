"""What does the page of an alert look like? HTML from its Markdown file, whole in itself."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment
from markdown_it import MarkdownIt

FOLDER = Path(__file__).parent
#: What every runbook says, in this order.
HEADINGS = ("含义", "影响", "排查", "处置", "升级")

_PAGE = """<!doctype html>
<html lang="zh-CN">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ alert }} 处置手册</title>
<style>
body { font: 16px/1.7 "Noto Sans CJK SC", "Microsoft YaHei", sans-serif; max-width: 46em; margin: 2em auto;
       padding: 0 1em; color: #1b1f24; background: #fff; }
h1 { font-size: 1.5em; border-bottom: 2px solid #0b5394; }
h2 { font-size: 1.15em; color: #0b5394; }
code { background: #eef1f4; padding: 0 .3em; }
pre { background: #eef1f4; padding: .6em; overflow-x: auto; }
</style>
</head>
<body>
{{ content }}
</body>
</html>
"""


@cache
def sources() -> dict[str, str]:
    """The Markdown of each alert's runbook, by the alert's name."""
    return {file.stem: file.read_text(encoding="utf-8") for file in sorted(FOLDER.glob("*.md"))}


@cache
def runbook_page(alert: str) -> str | None:
    """The page of an alert; None where there is no such alert."""
    source = sources().get(alert)
    if source is None:
        return None
    content = MarkdownIt("commonmark", {"html": False}).render(source)
    page = Environment(autoescape=False).from_string(_PAGE)  # noqa: S701 - both values are the kit's own
    return page.render(alert=alert, content=content)
