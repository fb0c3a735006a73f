"""What does a web.yml say? The schema of Prometheus's exporter-toolkit, read strictly."""

from __future__ import annotations

import re
from datetime import timedelta
from enum import StrEnum
from pathlib import Path

import msgspec
import yaml


class WebConfigError(Exception):
    """A web.yml, or a file that it names, cannot be used; the message names file, line and the way out."""


class ClientAuthType(StrEnum):
    """The policies of mutual TLS that OpenSSL can hold: a certificate is verified or it is not asked for."""

    NONE = "NoClientCert"
    IF_GIVEN = "VerifyClientCertIfGiven"
    REQUIRED = "RequireAndVerifyClientCert"


class TlsVersion(StrEnum):
    """A version of TLS as web.yml writes it; 1.0 and 1.1 are retired by RFC 8996 and refused here."""

    TLS12 = "TLS12"
    TLS13 = "TLS13"


class TlsServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `tls_server_config`: a certificate and key by file or as PEM text, and mutual TLS."""

    cert: str = ""
    key: str = ""
    client_ca: str = ""
    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""
    client_auth_type: ClientAuthType = ClientAuthType.NONE
    client_allowed_sans: tuple[str, ...] = ()
    min_version: TlsVersion = TlsVersion.TLS12
    max_version: TlsVersion = TlsVersion.TLS13
    cipher_suites: tuple[str, ...] = ()
    prefer_server_cipher_suites: bool = True

    @property
    def enabled(self) -> bool:
        """Whether anything in the table asks for TLS."""
        return bool(self.cert or self.cert_file or self.key or self.key_file) or self.wants_clients

    @property
    def wants_clients(self) -> bool:
        """Whether anything in the table speaks of the certificates of clients."""
        return bool(self.client_ca or self.client_ca_file) or self.client_auth_type != ClientAuthType.NONE


class ResponseHeaders(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename=lambda name: name.replace("_", "-")
):
    """The headers that web.yml may add to every answer."""

    Content_Security_Policy: str = ""
    X_Frame_Options: str = ""
    X_Content_Type_Options: str = ""
    X_XSS_Protection: str = ""
    Strict_Transport_Security: str = ""
    Cache_Control: str = ""


class HttpServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `http_server_config`; `http2` is read and has no effect, since only HTTP/1.1 is spoken."""

    http2: bool = True
    headers: ResponseHeaders = ResponseHeaders()


class RateLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table `rate_limit`: one request an `interval`, `burst` at once; an interval of 0 is no limit."""

    interval: str = "0s"
    burst: int = 0

    @property
    def seconds(self) -> float:
        """The interval in seconds."""
        return parse_duration(self.interval).total_seconds()


class WebConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A web.yml as a whole; `basic_auth_users` maps a name to the bcrypt hash of its password."""

    tls_server_config: TlsServerConfig = TlsServerConfig()
    http_server_config: HttpServerConfig = HttpServerConfig()
    basic_auth_users: dict[str, str] = {}
    rate_limit: RateLimit = RateLimit()


_DURATION_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BCRYPT_HASH = re.compile(r"^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$")
_PATH_IN_MESSAGE = re.compile(r"at `\$([^`]*)`$")


def parse_duration(text: str) -> timedelta:
    """The duration that a text such as `1s`, `500ms` or `1m30s` says.

    Raises:
        ValueError: The text is no such duration.
    """
    if text == "0":
        return timedelta()
    if not re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", text):
        raise ValueError(f"{text!r} is no duration; write for example 1s, 500ms or 1m30s")
    parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
    return timedelta(seconds=sum(float(number) * _DURATION_UNITS[unit] for number, unit in parts))


def read_web_config(path: Path) -> WebConfig:
    """Reads and checks a web.yml; relative file names in it stand beside it, as exporter-toolkit has it.

    Raises:
        WebConfigError: The file cannot be read, is no YAML, or says what cannot be done.
    """
    try:
        text = path.read_text(encoding="utf-8")
        document = yaml.safe_load(text)
    except OSError as error:
        raise WebConfigError(
            f"{path}: cannot be read: {error.strerror}; check its name and permissions"
        ) from error
    except UnicodeDecodeError as error:
        raise WebConfigError(
            f"{path}: is not UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8"
        ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise WebConfigError(f"{where}: is no YAML: {getattr(error, 'problem', error)}") from error
    try:
        config = msgspec.convert(document or {}, WebConfig)
    except msgspec.ValidationError as error:
        raise WebConfigError(f"{path}:{_line_of(text, str(error))}: {error}") from error
    problem = _problem(config)
    if problem:
        raise WebConfigError(f"{path}: {problem}")
    return _with_files_beside(config, path.parent)


def _line_of(text: str, message: str) -> int:
    """The line, from 1, of the value that a message of msgspec speaks of."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    line = 1
    found = _PATH_IN_MESSAGE.search(message)
    for key in re.findall(r"\.([\w-]+)|\[(\d+|\.\.\.)\]", found.group(1)) if found else []:
        if isinstance(node, yaml.MappingNode):
            step = next((pair for pair in node.value if pair[0].value == key[0]), None)
            if step is None:
                break
            line, node = step[0].start_mark.line + 1, step[1]
        elif isinstance(node, yaml.SequenceNode) and key[1].isdigit():
            node = node.value[int(key[1])]
            line = node.start_mark.line + 1
    return line


def _problem(config: WebConfig) -> str:
    """What of a well-formed configuration cannot be done, and what to write instead; empty when all can."""
    tls = config.tls_server_config
    if tls.enabled and not (tls.cert or tls.cert_file):
        return "tls_server_config: neither cert nor cert_file is given; give one of them"
    if tls.enabled and not (tls.key or tls.key_file):
        return "tls_server_config: neither key nor key_file is given; give one of them"
    for inline, file in (("cert", "cert_file"), ("key", "key_file"), ("client_ca", "client_ca_file")):
        if getattr(tls, inline) and getattr(tls, file):
            return f"tls_server_config: both {inline} and {file} are given; keep one of them"
    has_authority = bool(tls.client_ca or tls.client_ca_file)
    if has_authority and tls.client_auth_type == ClientAuthType.NONE:
        return "tls_server_config: client_ca_file is given but client_auth_type asks no client; " + (
            "set client_auth_type: RequireAndVerifyClientCert"
        )
    if tls.client_auth_type != ClientAuthType.NONE and not has_authority:
        return "tls_server_config: client_auth_type needs client_ca_file, who signs the clients' certificates"
    if tls.client_allowed_sans and tls.client_auth_type != ClientAuthType.REQUIRED:
        return "tls_server_config: client_allowed_sans needs client_auth_type: RequireAndVerifyClientCert"
    if tls.min_version > tls.max_version:
        return "tls_server_config: min_version is above max_version"
    for name, password_hash in config.basic_auth_users.items():
        if not _BCRYPT_HASH.match(password_hash):
            # The value itself stays out of the message: it may be a password in clear.
            return f"basic_auth_users: {name!r} has no bcrypt hash; make one: htpasswd -nBC 10 {name!r}"
    try:
        if config.rate_limit.seconds and config.rate_limit.burst < 1:
            return "rate_limit: burst must be at least 1 where an interval is set"
    except ValueError as error:
        return f"rate_limit: interval: {error}"
    return ""


def _with_files_beside(config: WebConfig, folder: Path) -> WebConfig:
    """The configuration with the names of files made absolute."""
    names = ("cert_file", "key_file", "client_ca_file")
    tls = config.tls_server_config
    absolute = {name: str(folder / getattr(tls, name)) for name in names if getattr(tls, name)}
    return msgspec.structs.replace(config, tls_server_config=msgspec.structs.replace(tls, **absolute))
