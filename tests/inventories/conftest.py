"""A small city that has every shape an inventory may have, for tests that break one thing of it at a time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

SMALL_CITY = Path(__file__).parent / "small_city"


@pytest.fixture
def small_city(tmp_path: Path) -> Path:
    """The folder of a good inventory that the test may change."""
    return Path(shutil.copytree(SMALL_CITY, tmp_path / "city"))
