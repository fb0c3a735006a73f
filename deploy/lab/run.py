"""How the lab runs a program: argument lists, captured output, an error that says what failed."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence


class LabError(Exception):
    """The lab cannot do what was asked; the message says what is missing and the way out."""


def run(
    arguments: Sequence[str],
    *,
    input: str | None = None,
    check: bool = True,
    timeout: float | None = 120,
    env: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end and return what it printed.

    Raises:
        LabError: it is not installed, took longer than `timeout` seconds, or (with `check`) failed.
    """
    try:
        done = subprocess.run(
            list(arguments),
            input=input,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=env,
            check=False,
        )
    except FileNotFoundError as error:
        raise LabError(f"{arguments[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise LabError(f"{' '.join(arguments[:3])} did not end within {timeout:.0f} s") from error
    if check and done.returncode:
        detail = (done.stderr or done.stdout).strip().splitlines()
        raise LabError(f"{' '.join(arguments[:4])} failed ({done.returncode}): {' | '.join(detail[-4:])}")
    return done
