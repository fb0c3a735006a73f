"""Who is told of an alert, by mail and by webhook? The office's own file; it names files of secrets and holds none.

A secret without a folder stands in the controller's secret store, from where the deploy brings it to the hosts; a path
is the office's own to bring there. An authority (`ca`) without a folder stands beside the file of contacts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from inventories.documents import Document
from inventories.monitoring import CONTACTS_FOLDER
from inventories.problems import InventoryError, Problem, Suggestions
from inventories.texts import read_text

_Url = Annotated[str, msgspec.Meta(pattern=r"^(https?://.+)?\Z")]
_Address = Annotated[str, msgspec.Meta(pattern=r"^[^@\s]+@[^@\s]+\Z")]
_File = Annotated[str, msgspec.Meta(pattern=r"^(/.+|[A-Za-z0-9][A-Za-z0-9._-]*)?\Z")]


class ContactsError(InventoryError):
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
    text, problems = read_text(path)
    document = Document(str(path), text or "")
    if problems := [*problems, *document.problems]:
        raise ContactsError(problems)
    try:
        contacts = msgspec.convert(document.data, type=Contacts)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at ")
        key = tuple(re.findall(r"\w+", where))
        unknown = re.search(r"unknown field `(.+?)`", what)
        line, column = document.key_position((*key, unknown[1]) if unknown else key)
        named = f"{'.'.join(key)}: {what}" if key else what
        fix = "README says what contacts.toml holds"
        raise ContactsError([Problem(str(path), line, column, named, fix)]) from error
    problems = [
        Problem(str(path), *document.key_position(tuple(key.split("."))), what, fix)
        for key, what, fix in _wrong(contacts, units)
    ]
    if problems:
        raise ContactsError(problems)
    return contacts


def _wrong(contacts: Contacts, units: frozenset[str]) -> Iterator[tuple[str, str, str]]:
    """What no single key shows: the key that it is said of, what is wrong, and what would be right."""
    for owner in sorted(set(contacts.owner) - units):
        near = Suggestions().nearest(owner, units)
        fix = f"did you mean {near}?" if near else "write the id of a unit, or add the unit to units.csv"
        yield f"owner.{owner}", f"owner.{owner}: no unit of units.csv has this id", fix
    mail = contacts.mail
    if mail and ":" in mail.smarthost.rpartition(":")[0]:
        # It takes the brackets off and does not put them on again: "too many colons in address".
        what = "mail.smarthost: Alertmanager 0.25 knows no IPv6 address there"
        yield "mail.smarthost", what, "give the server's name, which may lead to IPv6"
    if mail is None:
        for key, contact in contacts.everybody().items():
            if contact.mail:
                what = f"{key}.mail: there are mail addresses and no server"
                yield f"{key}.mail", what, "add the table [mail] with smarthost and sender"
    elif mail.username and not mail.password_file:
        yield "mail.username", "mail.username needs its password", "add mail.password_file, the file of it"
    kinds: dict[str, NamedFile] = {}
    for file in contacts.files():
        before = kinds.setdefault(file.path, file)
        if before.secret != file.secret:
            what = f"{before.key} and {file.key} are one file: {file.name}"
            yield (
                file.key,
                what,
                "a password or token and an authority stand in one folder of the hosts: rename one",
            )
