"""What does an Alertmanager need to reach those who are told? The passwords, tokens and authorities of contacts.toml.

A city's people write each secret to the controller's secret store once; contacts.toml says which one is whose.
"""

from __future__ import annotations

import shlex
from pathlib import Path

from deploy.hoststate.files import File
from deploy.login.files import ACCOUNT
from deploy.secrets import SecretStore
from inventories.contacts import Contacts, ContactsError, NamedFile, read_contacts
from inventories.monitoring import CONTACTS, CONTACTS_FOLDER
from inventories.problems import Problem
from inventories.records import City

#: Of this folder the files below are all.
EXCLUSIVE = (f"{CONTACTS_FOLDER}/*",)


def contacts_of(inventory: Path, city: City) -> Contacts:
    """Who is told, by the file beside the inventory; nobody without it.

    Raises:
        ContactsError: The file cannot be used.
    """
    file = inventory / CONTACTS
    return read_contacts(file, frozenset(city.units)) if file.exists() else Contacts()


def contact_files(store: SecretStore, inventory: Path, contacts: Contacts) -> list[File]:
    """Every file that contacts name without a folder: secrets from the store, authorities from beside the contacts.

    Alertmanager reads them anew for each notification: nothing has to be restarted.

    Raises:
        StateError: A secret is not in the store.
        ContactsError: An authority is not beside the contacts.
    """
    wanted = {}
    for file in contacts.files():
        if not file.brought:
            continue
        where = f"{inventory / CONTACTS}: {file.key}"
        if file.secret:
            secret = store.given(f"contacts-{file.name}", where)
            wanted[file.path] = File(file.path, secret, mode="640", group=ACCOUNT)
        else:
            wanted[file.path] = File(file.path, _authority(inventory, file, where))
    return list(wanted.values())


def _authority(inventory: Path, file: NamedFile, where: str) -> bytes:
    try:
        return (inventory / file.name).read_bytes()
    except OSError as error:
        what, fix = f"the file cannot be read: {error.strerror}", f"bring it there: {where} wants it"
        raise ContactsError([Problem(str(inventory / file.name), 1, 1, what, fix)]) from error


def readable(contacts: Contacts) -> list[str]:
    """Shell commands that fail unless Alertmanager can read the files that the office itself brought to the host."""
    return [_readable(path) for path in sorted({file.path for file in contacts.files() if not file.brought})]


def _readable(path: str) -> str:
    quoted = shlex.quote(path)
    complaint = shlex.quote(f"{path}, which {CONTACTS} names, is empty or {ACCOUNT} cannot read it")
    return f"runuser -u {ACCOUNT} -- test -s {quoted} -a -r {quoted} </dev/null || {{ echo {complaint} >&2; exit 1; }}"
