"""Which values are hosts held against? The profile, and what a city overrides of it."""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

#: The file in an inventory's folder that overrides single values.
OVERRIDES = "security-profile.toml"


class ProfileError(ValueError):
    """A profile cannot be used; the message names file and key."""


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The base of the profile's tables."""


class Password(_Part, frozen=True):
    """Passwords: characters, classes of characters, days, how many old ones may not return."""

    minimum_length: int
    minimum_classes: int
    maximum_age_days: int
    history: int


class Lockout(_Part, frozen=True):
    """After how many failures an account locks, and for how many seconds at least."""

    tries: int
    minimum_unlock_seconds: int


class Session(_Part, frozen=True):
    """When sessions end, seconds."""

    idle_seconds: int
    ssh_alive_seconds: int
    login_grace_seconds: int


class Ssh(_Part, frozen=True):
    """Algorithms that SSH must not offer, as shell patterns."""

    forbidden_algorithms: tuple[str, ...]


class Accounts(_Part, frozen=True):
    """Who may log in, who administers, who audits."""

    expected: tuple[str, ...]
    administrators: tuple[str, ...]
    auditors: tuple[str, ...]


class Files(_Part, frozen=True):
    """The most that files may allow, as octal modes; patterns are shell patterns."""

    umask: str
    modes: dict[str, str]


class Logging(_Part, frozen=True):
    """How long logs are kept, who keeps them, and what is watched."""

    retention_days: int
    collectors: tuple[str, ...]
    watched_files: tuple[str, ...]
    private_logs: tuple[str, ...]
    rotated_logs: tuple[str, ...]


class Software(_Part, frozen=True):
    """Packages that should not be there, those that detect intrusion, and how old update lists may be."""

    unwanted_packages: tuple[str, ...]
    intrusion_detection_packages: tuple[str, ...]
    lists_age_days: int


class Port(_Part, frozen=True):
    """A port that is a risk, and why."""

    port: int
    protocol: str
    why: str


class Network(_Part, frozen=True):
    """Roles that forward packets, the SSH port where sshd does not say, and ports that are a risk."""

    forwarding_roles: tuple[str, ...]
    management_port_default: int
    high_risk_ports: tuple[Port, ...]


class Profile(_Part, frozen=True):
    """All values."""

    password: Password
    lockout: Lockout
    session: Session
    ssh: Ssh
    accounts: Accounts
    files: Files
    logging: Logging
    software: Software
    network: Network


def load_profile(inventory: Path | None = None) -> Profile:
    """The kit's profile with a city's overrides.

    Args:
        inventory: The city's folder, which may hold `security-profile.toml`.

    Raises:
        ProfileError: The overrides are no TOML, or have an unknown key or a value of the wrong type.
    """
    text = (resources.files(__package__) / "profile.toml").read_text(encoding="utf-8")
    values = tomllib.loads(text)
    path = inventory / OVERRIDES if inventory else None
    if path is not None and path.exists():
        try:
            _override(values, tomllib.loads(path.read_text(encoding="utf-8")))
            return msgspec.convert(values, Profile)
        except (ValueError, OSError) as error:
            raise ProfileError(
                f"{path}: {error}; the keys are those of checks/security/profile.toml"
            ) from None
    return msgspec.convert(values, Profile)


def _override(values: dict[str, Any], overrides: dict[str, Any]) -> None:
    """Replace single values; a table keeps what is not named."""
    for key, value in overrides.items():
        if isinstance(value, dict) and isinstance(values.get(key), dict):
            _override(values[key], value)
        else:
            values[key] = value
