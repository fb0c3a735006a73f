"""How are the daemons of monitoring reached? An authority, a login and a client's certificate, each as a file."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import click

#: What the kit's readers take these from, where no option says it.
ENVIRONMENT = {
    "ca": "JIZUO_MONITORING_CA",
    "user": "JIZUO_MONITORING_USER",
    "password_file": "JIZUO_MONITORING_PASSWORD_FILE",
}


class AccessError(Exception):
    """A file of the access cannot be used; the message says which and why."""


class Access(NamedTuple):
    """Files by which daemons are reached; without any of them it is :data:`PLAIN`.

    Attributes:
        ca: The authority of the daemons' certificates.
        user: The user of basic authentication (RFC 7617).
        password_file: The file of that user's password: passwords themselves are written and passed nowhere.
        certificate: What is shown to a daemon that wants its clients' certificates.
        key: The file of that certificate's private key.
    """

    ca: str = ""
    user: str = ""
    password_file: str = ""
    certificate: str = ""
    key: str = ""

    @property
    def scheme(self) -> str:
        """Of URLs that people open and programs ask."""
        return "https" if self.ca else "http"

    def with_login(self) -> dict[str, Any]:
        """Prometheus's settings for a daemon that asks for a login."""
        found: dict[str, Any] = {}
        if self.ca:
            found |= {"scheme": "https", "tls_config": {"ca_file": self.ca}}
        if self.user:
            found["basic_auth"] = {"username": self.user, "password_file": self.password_file}
        return found

    def with_certificate(self) -> dict[str, Any]:
        """Prometheus's settings for a daemon that wants a certificate (mutual TLS)."""
        if not self.certificate:
            return {}
        files = {"ca_file": self.ca, "cert_file": self.certificate, "key_file": self.key}
        return {"scheme": "https", "tls_config": files}

    def context(self) -> ssl.SSLContext:
        """What a client of the standard library trusts: this authority alone, else the machine's.

        Raises:
            AccessError: The authority's file cannot be used.
        """
        try:
            return ssl.create_default_context(cafile=self.ca or None)
        except (OSError, ssl.SSLError) as error:
            raise AccessError(f"{self.ca}: no authority's certificate: {error}") from error

    def headers(self) -> dict[str, str]:
        """The header of the login; the password is read anew each time, for it may be another one.

        Raises:
            AccessError: The password's file cannot be read.
        """
        if not self.user:
            return {}
        try:
            password = Path(self.password_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise AccessError(f"{self.password_file}: no password: {error}") from error
        login = base64.b64encode(f"{self.user}:{password}".encode()).decode("ascii")
        return {"Authorization": f"Basic {login}"}


#: Plain HTTP, and nobody asks who.
PLAIN = Access()


def access_options(prefix: str, whose: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The options `--PREFIXca`, `--PREFIXuser` and `--PREFIXpassword-file` of a command that reads from `whose`."""
    name = prefix.replace("-", "_")
    options = [
        click.option(
            f"--{prefix}ca",
            f"{name}ca",
            default="",
            envvar=ENVIRONMENT["ca"],
            metavar="FILE",
            help=f"The authority of {whose} certificate.  [env: {ENVIRONMENT['ca']}]",
        ),
        click.option(
            f"--{prefix}user",
            f"{name}user",
            default="",
            envvar=ENVIRONMENT["user"],
            help=f"Log in as.  [env: {ENVIRONMENT['user']}]",
        ),
        click.option(
            f"--{prefix}password-file",
            f"{name}password_file",
            default="",
            envvar=ENVIRONMENT["password_file"],
            metavar="FILE",
            help=f"The file of that user's password.  [env: {ENVIRONMENT['password_file']}]",
        ),
    ]

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def access_or_refuse(prefix: str, ca: str, user: str, password_file: str) -> Access:
    """What the options say.

    Raises:
        click.UsageError: A user without a password's file or the other way round.
    """
    if bool(user) != bool(password_file):
        raise click.UsageError(f"--{prefix}user and --{prefix}password-file go together")
    return Access(ca, user, password_file)
