"""Who is told of an alert, by mail and by webhook? The office's own file; it names files of secrets and holds none."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec

_Url = Annotated[str, msgspec.Meta(pattern=r"^(https?://.+)?\Z")]
_Address = Annotated[str, msgspec.Meta(pattern=r"^[^@\s]+@[^@\s]+\Z")]
_File = Annotated[str, msgspec.Meta(pattern=r"^(/.+)?\Z")]


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
    """The server that takes mail (table `[mail]`); STARTTLS is required unless `tls` is false."""

    smarthost: Annotated[str, msgspec.Meta(pattern=r"^.+:[0-9]+\Z")]
    sender: _Address
    username: str = ""
    password_file: _File = ""
    tls: bool = True


class Contacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All of the file: `operations` gets every alert, an owner's contact those of its own systems.

    `watchdog` gets the alert that always holds, so that it notices when none comes.
    """

    mail: MailServer | None = None
    operations: Contact = Contact()
    watchdog: Contact = Contact()
    owner: dict[str, Contact] = {}


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
    everybody = [contacts.operations, contacts.watchdog, *contacts.owner.values()]
    if any(contact.mail for contact in everybody) and contacts.mail is None:
        raise ContactsError(f"{path}: there are mail addresses and no server: add the table [mail]")
    if contacts.mail and contacts.mail.username and not contacts.mail.password_file:
        raise ContactsError(f"{path}: mail.username needs mail.password_file, the file of its password")
    return contacts
