"""What of a drill's evidence is a secret? Masked before it is kept: known values, and what has the form of one."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Mask = Callable[[str], str]
MASKED = "********"
#: Shorter texts are words rather than secrets: to mask them would make evidence unreadable.
SHORTEST = 8
#: Where a state folder has secrets: what deploys made, private keys.
FOLDERS = ("secrets", "ssh")
#: What has the form of a secret, whoever made it; group 1 stays readable.
FORMS = (
    # RFC 7468 section 2, with line ends as they are, or as JSON has them.
    re.compile(r"(-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----).*?(?=-----END )", re.DOTALL),
    re.compile(r"(AGE-SECRET-KEY-)1[0-9A-Z]+"),
    # A variable or option whose name says it: RESTIC_PASSWORD=..., "password": "...", --token ...
    re.compile(
        r"((?<![A-Za-z])(?:[A-Za-z0-9]+[_-])*(?:password|passwd|passphrase|secret|token)\\?[\"']?\s*[=:]\s*\\?[\"']?)"
        r"(?!null|true|false|none)[^\s\"'\\,*{}\[\]]{4,}",
        re.IGNORECASE,
    ),
    # User information in a URL, RFC 3986 section 3.2.1.
    re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s/:@\"']+:)[^\s/@\"']+(?=@)"),
)


def mask_forms(text: str) -> str:
    """Mask what has the form of a secret."""
    for form in FORMS:
        text = form.sub(lambda found: f"{found[1]}{MASKED}", text)
    return text


def mask_of(values: Iterable[str]) -> Mask:
    """A mask of these values, as they are and as JSON has them, and of what has the form of a secret."""
    forms = {one for value in values for one in (value, json.dumps(value)[1:-1]) if len(one) >= SHORTEST}
    # The longest first: a value may be a part of another.
    known = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True)))) if forms else None

    def mask(text: str) -> str:
        return mask_forms(known.sub(MASKED, text) if known else text)

    return mask


def secrets_of(state: Path) -> list[str]:
    """The values of all secrets of a state folder, whole and line by line; what is public is not among them.

    Raises:
        OSError: one cannot be read: then nobody could know that it is masked.
    """
    found = []
    for folder in FOLDERS:
        for path in sorted((state / folder).rglob("*")):
            status = path.stat()
            if (
                not stat.S_ISREG(status.st_mode)
                or path.suffix == ".pub"
                or path.name.startswith("known_hosts")
            ):
                continue
            text = path.read_bytes().decode("utf-8", "replace").strip()
            found += [text, *(line.strip() for line in text.splitlines() if not line.startswith("-----"))]
    return list(dict.fromkeys(found))


def keep_masked(raw: Path, kept: Path, mask: Mask) -> None:
    """Copy what ansible-runner left of a stage, every text in it masked; the environment that it ran in stays out.

    Raises:
        OSError: it cannot be written.
    """
    for path in sorted(raw.rglob("*")):
        if not path.is_file() or path.is_symlink():
            continue
        text = path.read_bytes().decode("utf-8", "replace")
        if path.name == "command" and path.parent == raw:
            text = _without_environment(text)
        place = kept / path.relative_to(raw)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        handle = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(mask(text))


def _without_environment(text: str) -> str:
    """The command that was run, without the variables of whoever ran it."""
    try:
        command: dict[str, Any] = json.loads(text)
    except ValueError:
        return ""
    return json.dumps({name: value for name, value in command.items() if name != "env"}, indent=1)
