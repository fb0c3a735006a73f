"""The client's side: the job's program, and a configuration, keys and a timer for each policy."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from deploy.backup.certificates import authority
from deploy.backup.credentials import repository_password, repository_url
from deploy.backup.databases.adapters import HOME, dump_entry, environment, seen_paths
from deploy.here import render
from deploy.hoststate.files import File
from deploy.secrets import SecretStore
from inventories.backups.records import Engine, Method
from inventories.hosts import BACKUP_PORT, BackupJob, HostData

TEMPLATES = Path(__file__).parent / "templates"
PROGRAM = Path(__file__).parent / "job"
#: What a client installs; the mirror must hold these.
PACKAGES = ("restic", "python3", "findutils", "python3-xxhash", "xxhash")
#: The account that jobs run under.
USER = "jizuo-backup"
CONFIGURATION = "/etc/jizuo/backup"
KEYS = f"{CONFIGURATION}/keys"
LIBRARY = "/usr/local/lib/jizuo/jizuo_backup"
#: What makes the folder of the logins; a person fills it.
LOGIN_FOLDER = "/etc/tmpfiles.d/jizuo-backup.conf"
#: What the jobs keep of themselves.
STATE = "/var/lib/jizuo/backup"
#: Where a job dumps databases to. Not below its cache, which restic leaves out of every snapshot.
DUMPS = f"{STATE}/dumps"
#: Of these a client has what its policies need and nothing else: no key outlives its policy or its copy.
EXCLUSIVE = (
    f"{CONFIGURATION}/*.json",
    f"{KEYS}/*",
    f"{LIBRARY}/*.py",
    "/etc/systemd/system/jizuo-backup@*.timer",
    "/etc/systemd/system/jizuo-backup@*.service.d/*.conf",
    "/etc/systemd/system/jizuo-backup-scheduled@*.service.d/*.conf",
)
#: The plan of verification counts in megabytes, the job in bytes.
MEGABYTE = 1_000_000


def account(jobs: Iterable[BackupJob]) -> list[File]:
    """The account that jobs run under; the home of engines' own tools where a policy needs such, else none."""
    folders = "".join(
        f"d {folder} {mode} {USER} {USER} -\n" for folder, mode in ((STATE, "0755"), (HOME, "0700"))
    )
    needed = any(environment(engine) for job in jobs for engine in dumped_engines(job))
    return [
        File("/etc/sysusers.d/jizuo-backup.conf", f'u {USER} - "takes backups" /nonexistent\n'),
        File(LOGIN_FOLDER, folders if needed else None),
    ]


def dumped_engines(job: BackupJob) -> list[Engine]:
    """Of which engines the job takes dumps, each once."""
    return list(dict.fromkeys(one.engine for one in job.databases if one.method is Method.DUMP))


def program() -> list[File]:
    """The job as the package `jizuo_backup`, and its unit's template is of :func:`units`."""
    return [
        File(f"{LIBRARY}/{path.name}", path.read_text(encoding="utf-8"))
        for path in sorted(PROGRAM.glob("*.py"))
    ]


def units(data: HostData) -> list[File]:
    """The services that carry out the policy that is their instance's name: at once, and on its schedule."""
    template = TEMPLATES / "jizuo-backup.service.j2"
    return [
        File(
            f"/etc/systemd/system/{name}@.service",
            render(template, user=USER, time_zone=data.time_zone, scheduled=scheduled),
        )
        for name, scheduled in (("jizuo-backup", False), ("jizuo-backup-scheduled", True))
    ]


#: What programs of the system need; all else of the host is not there for a job, but what its policy names.
SYSTEM_PATHS = (
    "/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc/alternatives", "/etc/ld.so.cache", "/etc/localtime",
    "/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/hosts", "/etc/host.conf", "/etc/resolv.conf",
    "/etc/ssl", "/etc/pki", CONFIGURATION,
)  # fmt: skip
#: What a job writes.
WRITTEN_PATHS = (STATE, "/var/cache/jizuo-backup")


def confinements(job: BackupJob, servers: dict[str, HostData]) -> list[File]:
    """What a policy's job can see of the host and reach of the network, beside either of its units.

    The job reads files whoever owns them; so that it reads those of its policy alone, nothing else is there.
    """
    tools = [path for engine in dumped_engines(job) for path in seen_paths(engine)]
    content = render(
        TEMPLATES / "jizuo-backup.confined.conf.j2",
        # A policy of the whole host hides nothing.
        whole_host="/" in job.paths,
        read=[bind(path) for path in (*SYSTEM_PATHS, *tools, *job.paths)],
        written=[bind(path) for path in WRITTEN_PATHS],
        addresses=[
            address for node in (job.repository, *job.copies) for address in servers[node].service.values()
        ],
    )
    return [
        File(f"/etc/systemd/system/{name}@{job.policy}.service.d/confined.conf", content)
        for name in ("jizuo-backup", "jizuo-backup-scheduled")
    ]


def bind(path: str) -> str:
    """A path as a word of systemd's BindPaths= (systemd.exec(5), systemd.syntax(7)), which may be missing."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace(":", "\\:").replace("%", "%%")
    return f'"-{escaped}"'


def timer_name(policy: str) -> str:
    return f"jizuo-backup@{policy}.timer"


def timer(data: HostData, job: BackupJob) -> File:
    """A policy's timer, in the city's time zone."""
    # Spread over a fifteenth of what may be lost, so that many clients of one schedule do not begin at once.
    delay = min(job.rpo // 15, 600)
    content = render(
        TEMPLATES / "jizuo-backup.timer.j2", job=job, schedule=f"{job.schedule} {data.time_zone}", delay=delay
    )
    return File(f"/etc/systemd/system/{timer_name(job.policy)}", content)


def job_files(
    store: SecretStore,
    client: HostData,
    job: BackupJob,
    servers: dict[str, HostData],
    folder: str = CONFIGURATION,
) -> list[File]:
    """What a policy's job of `client` reads: configuration, authority, the keys to its repositories."""
    files = [File(f"{folder}/authority.pem", authority(store).certificate)]
    repositories = []
    for node in (job.repository, *job.copies):
        host = servers[node].fqdn
        base = f"{folder}/keys/{job.policy}@{node}"
        url = repository_url(store, node, host, client.name, job.policy)
        password = repository_password(store, node, client.name, job.policy)
        files += [
            File(f"{base}.repository", f"{url}\n", mode="640", group=USER),
            File(f"{base}.password", f"{password}\n", mode="640", group=USER),
        ]
        repositories.append(
            {
                "node": node,
                "host": host,
                "port": BACKUP_PORT,
                "repository_file": f"{base}.repository",
                "password_file": f"{base}.password",
                "megabits": job.bandwidth.get(node, 0),
            }
        )
    dumps = f"{DUMPS}/{job.policy}"
    dumped = [one for one in job.databases if one.method is Method.DUMP]
    configuration = {
        "policy": job.policy,
        "host": client.name,
        # The job's dumps are part of its snapshots.
        "paths": [*job.paths, *([dumps] if dumped else [])],
        "dumps": [{**dump_entry(one), "file": f"{dumps}/{dump_entry(one)['file']}"} for one in dumped],
        "exclude": job.exclude,
        "may_be_empty": job.may_be_empty,
        "rpo_seconds": job.rpo,
        "window": job.window,
        "verify": {
            "check_seconds": job.verify.check,
            "read_all_seconds": job.verify.read_all,
            "restore_seconds": job.verify.restore,
            "sample_files": job.verify.files,
            "sample_bytes": job.verify.megabytes * MEGABYTE,
        },
        "ca_file": f"{folder}/authority.pem",
        "repositories": repositories,
    }
    text = json.dumps(configuration, indent=1, ensure_ascii=False) + "\n"
    return [*files, File(f"{folder}/{job.policy}.json", text)]
