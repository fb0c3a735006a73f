"""What a job says of itself, kept over restarts: one small JSON file, replaced whole after every step."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

from .lasting import now, text, write_whole

VERSION = 1


class JsonFile:
    """A small JSON file that is replaced whole: a reader sees the old one or the new one, also after a power cut."""

    def __init__(self, path: str) -> None:
        self.path = path

    def read(self) -> dict[str, Any]:
        """Its content; a file that cannot be read is set aside, so that its writer still says how it goes now."""
        try:
            with open(self.path, encoding="utf-8") as file:
                content = json.load(file)
            if isinstance(content, dict):
                return content
        except FileNotFoundError:
            return {}
        except (OSError, ValueError):
            pass
        with contextlib.suppress(OSError):
            os.replace(self.path, self.path + ".unreadable")
        return {}

    def write(self, content: dict[str, Any]) -> None:
        """Replace the file.

        Raises:
            OSError: the folder cannot be written; the old file stays as it was.
        """
        write_whole(self.path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


class State:
    """The state file of one policy; `data` is its content, `write` makes it last."""

    def __init__(self, path: str, policy: str, host: str, rpo_seconds: int) -> None:
        self.file = JsonFile(path)
        self.data = self.file.read()
        if not isinstance(self.data.get("repositories"), dict):
            self.data = {}
        if self.data.get("version") != VERSION or self.data.get("policy") != policy:
            self.data = {"backup": None, "last_success_at": "", "not_begun": None, "repositories": {}}
        self.data.setdefault("last_snapshot", None)
        self.data.update(version=VERSION, policy=policy, host=host, rpo_seconds=rpo_seconds)

    def repository(self, node: str, role: str) -> dict[str, Any]:
        """What is known of a repository; changed in place."""
        known: dict[str, Any] = self.data["repositories"].setdefault(node, {})
        known["role"] = role
        for field in ("snapshot", "snapshot_at", "check_success_at", "restore_success_at"):
            known.setdefault(field, "")
        known.setdefault("restored_snapshot_at", "")
        for field in ("backup", "copy", "check", "restore_test", "damage", "reading", "lag_seconds"):
            known.setdefault(field, None)
        # `whole`: the last copy left nothing out; `ahead`: it holds what the primary repository lacks.
        known.setdefault("whole", False)
        known.setdefault("ahead", False)
        return known

    def keep_only(self, nodes: list[str]) -> None:
        """Forget repositories that the policy no longer names."""
        known = self.data["repositories"]
        self.data["repositories"] = {node: known[node] for node in nodes if node in known}

    def write(self) -> None:
        """Make the state last.

        Raises:
            OSError: the folder cannot be written; the old file stays as it was.
        """
        self.data["written_at"] = text(now())
        self.file.write(self.data)
