"""What a deploy ships, got ready beforehand: the mirror's packages and the kit's wheels, side by side."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from deploy.operations.closure import fetch_closure
from deploy.operations.wheelhouse import make_wheelhouse


def fetch_supplies() -> None:
    """Fill the caches that the roles mirror and operations send from; quick when they are filled.

    A deploy fills them itself. Called earlier, while something else keeps the machine waiting, this saves
    its time.

    Raises:
        MirrorError: a package cannot be had.
        WheelhouseError: a wheel cannot be had.
    """
    with ThreadPoolExecutor(2) as pool:
        wheels, packages = pool.submit(make_wheelhouse), pool.submit(fetch_closure)
        wheels.result()
        packages.result()


if __name__ == "__main__":
    fetch_supplies()
