"""How is a scene written as SVG: one file that needs nothing else, with names for who cannot see it?"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import jinja2

from inventories.picture.shapes import Scene
from inventories.picture.style import FONTS, PAPER


def render_svg(scene: Scene) -> str:
    """The picture (SVG 1.1 with the roles of graphics-aria 1.0); the same scene gives the same bytes."""
    return _template().render(scene=scene, fonts=FONTS, paper=PAPER)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["px"] = lambda value: f"{value:.1f}".removesuffix(".0")
    return environment.get_template("picture.svg.j2")
