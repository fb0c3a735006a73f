"""The files by which a host's daemons of monitoring show who they are, and ask who comes.

A node exporter wants a certificate (mutual TLS): only Prometheus asks it. Prometheus, Alertmanager and the kit's
exporter want a login over TLS (basic authentication): people open them in a browser, and the kit's programs read
them. Alertmanagers want each other's certificates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from deploy.hoststate.files import File
from deploy.login.keys import cluster, password, password_hashes, scraper, server, trusted
from deploy.secrets import SecretStore
from inventories.hosts import HostData
from inventories.monitoring import (
    AUTHORITY,
    CLIENT_CERTIFICATE,
    CLIENT_KEY,
    FOLDER,
    PASSWORD,
    PROGRAMS,
    PROVINCE,
    PROVINCE_AUTHORITY,
    PROVINCE_PASSWORD,
)

#: The account of Debian's packages of node exporter, Prometheus and Alertmanager.
ACCOUNT = "prometheus"
NODE_EXPORTER_WEB = f"{FOLDER}/node-exporter.yml"
PROMETHEUS_WEB, ALERTMANAGER_WEB = f"{FOLDER}/prometheus.yml", f"{FOLDER}/alertmanager.yml"
CLUSTER_TLS = f"{FOLDER}/cluster.yml"
#: The kit's exporter runs under its own account and has files of its own.
EXPORTER_FOLDER = "/etc/jizuo/exporter"
EXPORTER_WEB = f"{EXPORTER_FOLDER}/web.yml"

#: exporter-toolkit's names; files stand beside the one that names them. TLS 1.0 and 1.1 are retired by RFC 8996.
_TLS = {"cert_file": "certificate.pem", "key_file": "key.pem", "min_version": "TLS12"}
_CLIENTS = {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "authority.pem"}

#: What checks that a web.yml is one, with every file that it names, before it takes effect.
CHECK = "promtool check web-config"


def node_exporter_files(store: SecretStore, data: HostData) -> list[File]:
    """Of every host: what its daemons show, and that a node exporter wants a certificate."""
    return [*_shown(store, data), _settings(NODE_EXPORTER_WEB, {"tls_server_config": _TLS | _CLIENTS})]


def watching_files(store: SecretStore, data: HostData) -> list[File]:
    """Of a node with a Prometheus and an Alertmanager; what every host has of these is among them."""
    peer = cluster(store, data)
    together = {"cert_file": "cluster.pem", "key_file": "cluster-key.pem"}
    tls = {
        "tls_server_config": together | _CLIENTS | {"min_version": "TLS12"},
        "tls_client_config": together | {"ca_file": "authority.pem"},
    }
    return [
        *_shown(store, data),
        _settings(PROMETHEUS_WEB, _with_login(store, *([PROVINCE] if data.monitoring_federation else []))),
        _settings(ALERTMANAGER_WEB, _with_login(store)),
        _settings(CLUSTER_TLS, tls),
        _private(f"{FOLDER}/cluster.pem", peer.certificate),
        _private(f"{FOLDER}/cluster-key.pem", peer.key),
        *scraper_files(store, data),
        _private(PASSWORD, f"{password(store, PROGRAMS)}\n"),
        *(province_files(store) if data.monitoring_province else []),
    ]


def province_files(store: SecretStore) -> list[File]:
    """Of a node that writes to the province: whom it trusts there, and the city's password; both the province gave.

    Raises:
        StateError: Nobody has put them into the secret store.
    """
    authority = store.given(
        "province-authority.pem", "[monitoring.province] of city.toml, whose authority it is,"
    )
    secret = store.given(
        "province-password", "[monitoring.province] of city.toml, as the city's password there,"
    )
    return [
        File(PROVINCE_AUTHORITY, authority.decode()),
        _private(PROVINCE_PASSWORD, f"{secret.decode().strip()}\n"),
    ]


def scraper_files(store: SecretStore, data: HostData) -> list[File]:
    """Of a node with a Prometheus: what it shows to node exporters."""
    client = scraper(store, data)
    return [_private(CLIENT_CERTIFICATE, client.certificate), _private(CLIENT_KEY, client.key)]


def exporter_files(store: SecretStore, data: HostData, account: str) -> list[File]:
    """Of the kit's exporter, which runs as `account`: what it shows and asks for; a whole :data:`EXPORTER_FOLDER`."""
    pair = server(store, data, "exporter")
    return [
        _private(f"{EXPORTER_FOLDER}/certificate.pem", pair.certificate, account),
        _private(f"{EXPORTER_FOLDER}/key.pem", pair.key, account),
        _settings(EXPORTER_WEB, _with_login(store), account),
    ]


def prometheus_options(province: bool) -> list[str]:
    """The options of `jizuo exporter prometheus-config` for a node that has :func:`watching_files`."""
    upward = [f"--province-ca={PROVINCE_AUTHORITY}", f"--province-password-file={PROVINCE_PASSWORD}"]
    return [
        f"--ca={AUTHORITY}",
        f"--user={PROGRAMS}",
        f"--password-file={PASSWORD}",
        f"--certificate={CLIENT_CERTIFICATE}",
        f"--key={CLIENT_KEY}",
        f"--cluster-tls={CLUSTER_TLS}",
        *(upward if province else []),
    ]


def _shown(store: SecretStore, data: HostData) -> list[File]:
    pair = server(store, data, "monitoring")
    return [
        File(AUTHORITY, trusted(store)),
        _private(f"{FOLDER}/certificate.pem", pair.certificate),
        _private(f"{FOLDER}/key.pem", pair.key),
    ]


def _with_login(store: SecretStore, *more: str) -> dict[str, Any]:
    return {"tls_server_config": _TLS, "basic_auth_users": password_hashes(store, *more)}


def _settings(path: str, document: Mapping[str, Any], group: str = ACCOUNT) -> File:
    return _private(path, "# Written by jizuo.\n" + yaml.safe_dump(dict(document)), group)


def _private(path: str, content: str, group: str = ACCOUNT) -> File:
    return File(path, content, mode="640", group=group)
