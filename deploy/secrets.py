"""Secrets of a city's hosts: made once on the controller, 0600 in its state folder, never in the repo."""

from __future__ import annotations

import os
import secrets
import shlex
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from deploy.lab.places import STATE_ROOT

#: The state folder of the lab, which is what a controller uses unless JIZUO_STATE names another.
DEFAULT_STATE = STATE_ROOT / "lab"


class StateError(Exception):
    """The state folder cannot serve; the message says why and the way out."""


def state_folder() -> Path:
    """The controller's state folder: `JIZUO_STATE`, or the lab's."""
    return Path(os.environ.get("JIZUO_STATE", DEFAULT_STATE))


class SecretStore:
    """Files of one folder, one secret each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, name: str, make: Callable[[], bytes]) -> bytes:
        """The secret of that name; `make` is called, and its result kept, when there is none yet."""
        path = self.folder / name
        try:
            return path.read_bytes()
        except FileNotFoundError:
            return self._keep(path, make())

    def _keep(self, path: Path, value: bytes) -> bytes:
        """Write `value`, unless another host's deploy was first: then its value counts for all."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor, scratch = tempfile.mkstemp(dir=self.folder, prefix=f".{path.name}.")  # 0600
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(value)
            os.link(scratch, path)
        except FileExistsError:
            return path.read_bytes()
        finally:
            Path(scratch).unlink()
        return value

    def given(self, name: str, wanted_by: str) -> bytes:
        """A secret that the kit cannot make: its owner wrote it to a file of that name. Without newlines at its end.

        Args:
            name: The file's name.
            wanted_by: What names it, with the place.

        Raises:
            StateError: There is no such file, or nothing in it.
        """
        path = self.folder / name
        try:
            secret = path.read_bytes().rstrip(b"\r\n")
        except FileNotFoundError:
            secret = b""
        if not secret:
            problem = "is empty" if path.exists() else "is not there"
            raise StateError(
                f"{path} {problem}, and {wanted_by} wants it: write the secret to it "
                f"(umask 077; cat >{shlex.quote(str(path))}; end with Ctrl-D), or take that line out"
            )
        return secret

    def password(self, name: str) -> str:
        """A password of 256 bits, in characters that are safe in a file, a URL and a header."""
        return self.get(name, lambda: secrets.token_urlsafe(32).encode()).decode()


class PassingSecrets(SecretStore):
    """The controller's secrets as they are; one that is missing is made for this process alone, and not kept.

    What looks and changes nothing (`--dry`) leaves no secret behind either.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._passing: dict[str, bytes] = {}
        # Many hosts ask at once for what takes long to make.
        self._making = threading.RLock()

    def get(self, name: str, make: Callable[[], bytes]) -> bytes:
        with self._making:
            return self._passing[name] if name in self._passing else super().get(name, make)

    def _keep(self, path: Path, value: bytes) -> bytes:
        self._passing[path.name] = value
        return value
