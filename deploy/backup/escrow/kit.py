"""What is in a recovery kit? Keys, addresses and instructions for every repository, as files of one folder.

Built in memory and nowhere else: what leaves this module in clear is sealed before it reaches a disk.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

import msgspec

from deploy.backup.certificates import authority
from deploy.backup.credentials import repository_password, repository_url
from deploy.database import keys
from deploy.database.clusters import clusters_of
from deploy.database.node import VERSION as VERSION_OF_POSTGRESQL
from deploy.here import render
from deploy.secrets import SecretStore
from inventories.hosts import BACKUP_PORT, DATABASE_PORT, HostData
from inventories.records import City, Family

HERE = Path(__file__).parent
#: The folder that the kit unpacks to.
FOLDER = "recovery-kit"
VERSION = 1
#: Secrets of the store that go along, so that another controller can take the backups over.
PREFIXES = ("backup-", "database-")
_DATABASE_COLUMNS = (
    "cluster\tpolicy\tnode\trole\tcity\tname\tipv6\tipv4\tport\trepository\tversion\tdatabase\n"
)
_COLUMNS = "policy\tclient\tnode\trole\tcity\tname\tipv6\tipv4\tport\tsystems\n"
#: What says when the kit was made, and so differs between two of the same secrets.
DESCRIPTION = "kit.json"


class KitError(Exception):
    """A kit cannot be made or read; the message says why and the way out."""


class KitRepository(msgspec.Struct, frozen=True, kw_only=True):
    """A repository, and how it is reached; an address may be empty."""

    policy: str
    client: str
    node: str
    role: str
    city: str
    name: str
    ipv6: str
    ipv4: str
    port: int
    systems: tuple[str, ...]
    paths: tuple[str, ...]

    def hosts(self) -> dict[str, str]:
        """What stands for the server in a URL, by way: an IPv6 address in brackets (RFC 3986)."""
        ways = {"ipv6": f"[{self.ipv6}]" if self.ipv6 else "", "ipv4": self.ipv4, "name": self.name}
        return {way: host for way, host in ways.items() if host}


class KitDatabase(msgspec.Struct, frozen=True, kw_only=True):
    """A repository that keeps a cluster continuously; `number` is pgBackRest's for it, an address may be empty."""

    cluster: str
    policy: str
    client: str
    database: str
    version: str
    node: str
    number: int
    role: str
    city: str
    name: str
    ipv6: str
    ipv4: str
    port: int


class KitSystem(msgspec.Struct, frozen=True, kw_only=True):
    """A system, its objectives in seconds, and the policies that have its data."""

    id: str
    name: str
    owners: tuple[str, ...]
    nodes: tuple[str, ...]
    policies: tuple[str, ...]
    rto: int
    rpo: int


class Kit(msgspec.Struct, frozen=True, kw_only=True):
    """`kit.json`: all of the kit that is no secret."""

    version: int
    city: str
    made_at: str
    repositories: tuple[KitRepository, ...]
    systems: tuple[KitSystem, ...]
    databases: tuple[KitDatabase, ...] = ()


class ExistingSecrets(SecretStore):
    """The controller's secrets as they are: none is made because it is asked for."""

    def _keep(self, path: Path, value: bytes) -> bytes:
        raise KitError(
            f"{path} is not there, so no backup has been made with it; run: jizuo deploy PATH database backup"
        )


def describe(city: City, hosts: Mapping[str, HostData], made_at: str) -> Kit:
    """The kit of a city.

    Raises:
        KitError: the city backs nothing up.
    """
    repositories = tuple(
        KitRepository(
            policy=job.policy,
            client=client.name,
            node=node,
            role="primary" if node == job.repository else "copy",
            city=_city_of(city, node),
            name=hosts[node].fqdn,
            ipv6=hosts[node].service.get(Family.IPV6, ""),
            ipv4=hosts[node].service.get(Family.IPV4, ""),
            port=BACKUP_PORT,
            systems=tuple(
                one for one in city.backups[job.policy].systems if client.name in city.systems[one].nodes
            ),
            paths=job.paths,
        )
        for client in hosts.values()
        for job in client.backups
        for node in (job.repository, *job.copies)
    )
    if not repositories:
        raise KitError("no policy of backups.toml runs on a node: there is nothing to put into a kit")
    policies = {one.policy for one in repositories}
    systems = tuple(
        KitSystem(
            id=system.id,
            name=system.name,
            owners=system.owners,
            nodes=system.nodes,
            policies=tuple(one.id for one in city.backups.values() if system.id in one.systems),
            rto=system.rto,
            rpo=system.rpo,
        )
        for system in city.systems.values()
        if any(system.id in city.backups[policy].systems for policy in policies)
    )
    return Kit(
        version=VERSION,
        city=city.layout.name,
        made_at=made_at,
        repositories=repositories,
        systems=systems,
        databases=tuple(_databases(city, hosts)),
    )


def _databases(city: City, hosts: Mapping[str, HostData]) -> Iterator[KitDatabase]:
    for client in hosts.values():
        for cluster in clusters_of(client):
            for number, node in enumerate(cluster.repositories, 1):
                yield KitDatabase(
                    cluster=cluster.stanza,
                    policy=cluster.policy,
                    client=client.name,
                    database=cluster.database,
                    version=VERSION_OF_POSTGRESQL,
                    node=node,
                    number=number,
                    role="primary" if number == 1 else "copy",
                    city=_city_of(city, node),
                    name=hosts[node].fqdn,
                    ipv6=hosts[node].service.get(Family.IPV6, ""),
                    ipv4=hosts[node].service.get(Family.IPV4, ""),
                    port=DATABASE_PORT,
                )


def _city_of(city: City, node: str) -> str:
    """The prefecture city that a node stands in: the first four digits of its site's division code."""
    code = city.sites[city.nodes[node].site].division[:4]
    return city.divisions[code].name if code in city.divisions else code


def contents(kit: Kit, store: SecretStore, programs: Iterable[Path] = ()) -> dict[str, bytes]:
    """Every file of a kit by its path below the kit's folder; `programs` go along as they are.

    Raises:
        KitError: a secret is missing.
        OSError: a file cannot be read.
    """
    found = {
        "README.md": render(HERE / "README.md.j2", kit=kit).encode(),
        "README.zh-CN.md": render(HERE / "README.zh-CN.md.j2", kit=kit).encode(),
        "restore.sh": (HERE / "restore.sh").read_bytes(),
        DESCRIPTION: msgspec.json.format(msgspec.json.encode(kit)) + b"\n",
        "index.tsv": _index(kit.repositories).encode(),
        "authority.pem": authority(store).certificate.encode(),
    }
    for one in kit.repositories:
        base = f"keys/{one.policy}@{one.client}@{one.node}"
        for way, host in one.hosts().items():
            url = repository_url(store, one.node, host, one.client, one.policy, one.port)
            found[f"{base}.{way}"] = f"{url}\n".encode()
        password = repository_password(store, one.node, one.client, one.policy)
        found[f"{base}.password"] = f"{password}\n".encode()
    if kit.databases:
        found |= _database_files(kit.databases, store)
    for path in sorted(store.folder.iterdir()):
        if path.name.startswith(PREFIXES):
            found[f"secrets/{path.name}"] = path.read_bytes()
    for program in programs:
        found[program.name] = program.read_bytes()
    return found


def _database_files(databases: Sequence[KitDatabase], store: SecretStore) -> dict[str, bytes]:
    """How each cluster is restored by pgBackRest: settings, and with what its repositories are reached and read."""
    found: dict[str, bytes] = {}
    lines = [_DATABASE_COLUMNS]
    for cluster in dict.fromkeys(one.cluster for one in databases):
        places = [one for one in databases if one.cluster == cluster]
        pair = keys.sender_of(store, places[0].client)
        passphrases = {one.node: keys.passphrase(store, one.node, cluster) for one in places}
        base = f"databases/{cluster}"
        text = render(HERE / "database.conf.j2", cluster=cluster, places=places, passphrases=passphrases)
        found |= {
            f"{base}.conf": text.encode(),
            f"{base}.pem": pair.certificate.encode(),
            f"{base}.key": pair.key.encode(),
        }
        for one in places:
            fields = [one.cluster, one.policy, one.node, one.role, one.city, one.name, one.ipv6, one.ipv4]
            fields += [str(one.port), str(one.number), one.version, one.database]
            lines.append("\t".join(field or "-" for field in fields) + "\n")
    return {**found, "databases.tsv": "".join(lines).encode()}


def _index(repositories: Sequence[KitRepository]) -> str:
    """The table that the script reads: no field is empty, for the shell would pass over it."""
    lines = [_COLUMNS]
    for one in repositories:
        fields = [one.policy, one.client, one.node, one.role, one.city, one.name, one.ipv6, one.ipv4]
        fields += [str(one.port), ",".join(one.systems)]
        lines.append("\t".join(field or "-" for field in fields) + "\n")
    return "".join(lines)


def packed(found: Mapping[str, bytes]) -> bytes:
    """The files as one tar archive (POSIX.1-2001), in a folder of the kit's name, for the owner alone."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, content in sorted(found.items()):
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            member.size, member.mode = len(content), 0o600
            if content.startswith((b"#!", b"\x7fELF")):
                member.mode = 0o700
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def unpacked(archive: bytes) -> dict[str, bytes]:
    """The files of an archive that :func:`packed` made.

    Raises:
        KitError: it is no kit.
    """
    found = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as opened:
            for member in opened:
                content = opened.extractfile(member)
                if content is not None:
                    found[str(PurePosixPath(member.name).relative_to(FOLDER))] = content.read()
    except (tarfile.TarError, ValueError) as error:
        raise KitError(f"what is in it is no recovery kit: {error}") from None
    return found


def read_description(found: Mapping[str, bytes]) -> Kit:
    """The kit's description of itself.

    Raises:
        KitError: it is missing, or of another version.
    """
    try:
        kit = msgspec.json.decode(found[DESCRIPTION], type=Kit)
    except KeyError:
        raise KitError(f"what is in it is no recovery kit: it has no {DESCRIPTION}") from None
    except msgspec.DecodeError as error:
        raise KitError(f"{DESCRIPTION} in it cannot be read: {error}") from None
    if kit.version != VERSION:
        raise KitError(
            f"it is a kit of version {kit.version}, and this jizuo reads {VERSION}; make a new one"
        )
    return kit


class Difference(msgspec.Struct, frozen=True):
    """A file of a kit that is not what it would be today: `outdated`, `missing` or `superfluous`."""

    file: str
    what: str


def differences(old: Mapping[str, bytes], today: Mapping[str, bytes]) -> list[Difference]:
    """What of a kit is no longer so. Programs that went along are not compared, nor when it was made."""
    found = []
    for name in sorted(old.keys() | today.keys()):
        if name == DESCRIPTION:
            if _lasting(old) != _lasting(today):
                found.append(Difference(name, "outdated"))
        elif name not in today:
            if "/" in name:
                found.append(Difference(name, "superfluous"))
        elif name not in old:
            found.append(Difference(name, "missing"))
        elif old[name] != today[name] and not name.startswith("README"):
            found.append(Difference(name, "outdated"))
    return found


def _lasting(found: Mapping[str, bytes]) -> Kit:
    return msgspec.structs.replace(read_description(found), made_at="")
