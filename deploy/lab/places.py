"""Where a lab keeps its things, and what they are called: state, image cache, namespaces, interfaces."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

#: All labs' state; each lab has a folder of its own below it, readable by root only.
STATE_ROOT = Path(os.environ.get("JIZUO_LAB_ROOT", "/var/lib/jizuo/lab"))
#: Base images and the mirror's packages: costly to make, safe to delete.
CACHE_ROOT = Path(os.environ.get("JIZUO_CACHE", "/var/cache/jizuo"))
#: Where iproute2 keeps named network namespaces.
NAMESPACES = Path("/run/netns")


@dataclass(frozen=True)
class Places:
    """The names and folders of one lab; pure, creates nothing."""

    name: str

    @property
    def tag(self) -> str:
        """Four characters that tell this lab's kernel objects from another's (interface names are short)."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:4]

    @property
    def state(self) -> Path:
        return STATE_ROOT / self.name

    @property
    def hosts(self) -> Path:
        return self.state / "hosts"

    @property
    def record(self) -> Path:
        """The lab's own record: inventory, management prefixes, image."""
        return self.state / "lab.json"

    @property
    def lock(self) -> Path:
        return STATE_ROOT / f".{self.name}.lock"

    @property
    def ssh_config(self) -> Path:
        return self.state / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        return self.state / "known_hosts"

    @property
    def keys(self) -> Path:
        return self.state / "ssh"

    @property
    def bridge(self) -> str:
        """The management network's bridge on this machine."""
        return f"jz{self.tag}"

    @property
    def namespace_prefix(self) -> str:
        return f"jizuo.{self.name}."

    def namespace(self, host: str) -> str:
        return f"{self.namespace_prefix}{host}"

    def machine(self, host: str) -> str:
        """nspawn's machine name: a host name label, so at most 64 characters."""
        return f"jz{self.tag}-{host}"[:64]

    def host(self, host: str) -> Path:
        return self.hosts / host
