"""Who is told of an alert, by mail and by webhook? The office's own file; it names files of secrets and holds none.

A secret that is XX
deploy brings to the hosts; a path is the office's own to bring there. An authority (`ca`) without a folder stands
beside the file of contacts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from inventories.monitoring import CONTACTS_FOLDER

_Url = Annotated[str, msgspec.Meta(pattern=r"^(https?://.+)?\Z")]
_Address = Annotated[str, msgspec.Meta(pattern=r"^[^@\s]+@[^@\s]+\Z")]
_File = Annotated[str, msgspec.Meta(pattern=r"^(/.+|[A-Za-z0-9][A-Za-z0-9._-]*)?\Z")]


class ContactsError(ValueError):
    """The file of contacts cannot be used; says where and why."""


class Contact(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How somebody is told.

    `webhook_ca` is the authority of the webhook's certificate, `webhook_token_file` holds what is sent as its bearer
    token (RFC 6750).
    """

    mail: tuple[_Address, ...] = ()
    webhook: _Url = ""
    webhook_ca: _File = ""
    webhook_token_file: _File = ""


class MailServer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The server that takes mail (table `[mail]`); STARTTLS is required unless `tls` is false.

    `ca` is the authority of its certificate, where that is none that the hosts trust anyhow.
    """

    smarthost: Annotated[str, msgspec.Meta(pattern=r"^.+:[0-9]+\Z")]
    sender: _Address
    username: str = ""
    password_file: _File = ""
    ca: _File = ""
    tls: bool = True


class NamedFile(NamedTuple):
    """A file that contacts name.

    Attributes:
        key: Where in contacts.toml, as `mail.password_file`.
        name: As it stands there.
        secret: Whether it is one; an authority is none.
    """

    key: str
    name: str
    secret: bool

    @property
    def path(self) -> str:
        """Where it is on a host with an Alertmanager."""
        return path_of(self.name)

    @property
    def brought(self) -> bool:
        """Whether the deploy brings it there."""
        return not self.name.startswith("/")


class Contacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of the file: `operations` gets every alert, an owner's contact those of its own systems.

    `watchdog` gets the alert that always holds, so that it notices when none comes.
    """

    mail: MailServer | None = None
    operations: Contact = Contact()
    watchdog: Contact = Contact()
    owner: dict[str, Contact] = {}

    def files(self) -> Iterator[NamedFile]:
        """Every file that is named, secrets and authorities; one that several need comes once for each."""
        if self.mail and self.mail.password_file:
            yield NamedFile("mail.password_file", self.mail.password_file, secret=True)
        if self.mail and self.mail.ca:
            yield NamedFile("mail.ca", self.mail.ca, secret=False)
        for key, contact in self.everybody().items():
            if contact.webhook_token_file:
                yield NamedFile(f"{key}.webhook_token_file", contact.webhook_token_file, secret=True)
            if contact.webhook_ca:
                yield NamedFile(f"{key}.webhook_ca", contact.webhook_ca, secret=False)

    def everybody(self) -> dict[str, Contact]:
        """Each contact by its table."""
        owners = {f"owner.{owner}": contact for owner, contact in self.owner.items()}
        return {"operations": self.operations, "watchdog": self.watchdog, **owners}


def path_of(name: str) -> str:
    """Where a file that contacts name is on a host with an Alertmanager."""
    return name if name.startswith("/") else f"{CONTACTS_FOLDER}/{name}"


def read_contacts(path: Path, units: frozenset[str]) -> Contacts:
    """The contacts of a city with these units.

    Raises:
        ContactsError: The file cannot be read, an owner is no unit, or mail goes nowhere without `[mail]`.
    """
    try:
        contacts = msgspec.toml.decode(path.read_bytes(), type=Contacts)
    except OSError as error:
        raise ContactsError(f"{path}: {error.strerror}") from error
    except msgspec.DecodeError as error:
        raise ContactsError(f"{path}: {error}") from error
    unknown = sorted(set(contacts.owner) - units)
    if unknown:
        raise ContactsError(f"{path}: owner.{unknown[0]}: no unit of units.csv has this id")
    if contacts.mail and ":" in contacts.mail.smarthost.rpartition(":")[0]:
        # It takes the brackets off and does not put them on again: "too many colons in address".
        raise ContactsError(
            f"{path}: mail.smarthost: Alertmanager 0.25 knows no IPv6 address there: give the server's name"
        )
    if any(contact.mail for contact in contacts.everybody().values()) and contacts.mail is None:
        raise ContactsError(f"{path}: there are mail addresses and no server: add the table [mail]")
    if contacts.mail and contacts.mail.username and not contacts.mail.password_file:
        raise ContactsError(f"{path}: mail.username needs mail.password_file, the file of its password")
    _nothing_is_both(path, contacts)
    return contacts


def _nothing_is_both(path: Path, contacts: Contacts) -> None:
    """A name is a secret or an authority: both stand in one folder of the hosts."""
    kinds: dict[str, NamedFile] = {}
    for file in contacts.files():
        before = kinds.setdefault(file.path, file)
        if before.secret != file.secret:
            raise ContactsError(f"{path}: {before.key} and {file.key} are one file: {file.name}")
