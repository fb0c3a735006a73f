"""Whether a host is a container, where the kernel's own settings and clock are not its to change."""

from __future__ import annotations

from collections.abc import Iterable

from pyinfra.api import FactBase


class Container(FactBase[str]):
    """The container technology (`systemd-nspawn`, `lxc` ...), or an empty string on a machine of its own."""

    default = str

    def command(self) -> str:
        return "systemd-detect-virt --container || true"

    def process(self, output: Iterable[str]) -> str:
        found = "".join(output).strip()
        return "" if found == "none" else found
