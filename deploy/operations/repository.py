"""The signed apt repository on the mirror: what it publishes, and how packages get into it (reprepro)."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from pyinfra import host
from pyinfra.api import FactBase, FileUploadCommand, StringCommand, operation

from deploy.hoststate.files import File
from deploy.hoststate.uploads import upload
from deploy.lab.image import SUITE
from deploy.operations.closure import Closure, Package

#: What the mirror serves, and what only reprepro reads.
ROOT, BASE = "/srv/mirror", "/var/lib/jizuo/mirror"
SIGNING_KEY = f"{BASE}/signing-key.asc"
#: The public key in the form that gpgv takes, from the last time that something was signed.
_PUBLIC_KEY = f"{BASE}/public.gpg"
_INCOMING = f"{BASE}/incoming"


class Published(msgspec.Struct, frozen=True):
    """What a mirror publishes.

    `whole` holds the SHA-256 of every package whose file is there with the size that the index says,
    `damaged` the names of the others; `signed` is False when the index's signature is not ours, or
    the list of packages is not the one that it signs.
    """

    whole: dict[str, str] = {}
    damaged: frozenset[str] = frozenset()
    description: str = ""
    signed: bool = False
    has_tools: bool = False


class PublishedPackages(FactBase[Published]):
    """The repository as its readers see it: index, files, signature. One command."""

    default = Published

    def command(self) -> str:
        return (
            "command -v reprepro >/dev/null && command -v gpg >/dev/null && echo tools; "
            f"cd {ROOT}/dists/{SUITE} 2>/dev/null || exit 0; "
            f"gpgv --quiet --keyring {_PUBLIC_KEY} InRelease >/dev/null 2>&1 || echo unsigned; "
            "sed -n 's/^Description: /description /p' InRelease; "
            'for list in main/binary-*/Packages; do sum=$(sha256sum <"$list"); '
            'grep -q "^ ${sum%% *} .* $list\\$" InRelease || echo unsigned; '
            "awk '/^Package: /{p=$2} /^Filename: /{f=$2} /^Size: /{s=$2} /^SHA256: /{h=$2} "
            'p!="" && /^$/{print "package", p, h, s, f; p=""}\' "$list"; done; '
            f"cd {ROOT} && find pool -type f -printf 'file %s %p\\n'"
        )

    def process(self, output: Iterable[str]) -> Published:
        rows = [line.split(" ", 1) for line in output if line]
        said: dict[str, list[str]] = {}
        for kind, *rest in rows:
            said.setdefault(kind, []).extend(rest or [""])
        files = set(said.get("file", []))
        whole, damaged = {}, set()
        for line in said.get("package", []):
            name, sha256, size, path = line.split(" ", 3)
            if f"{size} {path}" in files:
                whole[sha256] = name
            else:
                damaged.add(name)
        return Published(
            whole=whole,
            damaged=frozenset(damaged),
            description="".join(said.get("description", [])),
            signed="package" in said and "unsigned" not in said,
            has_tools="tools" in said,
        )


def description(fingerprint: str) -> str:
    """The repository's Description field: a new signing key shows in it."""
    return f"Packages of the city's hosts, signed by {fingerprint}"


def settings(architecture: str, fingerprint: str, private_key: bytes) -> list[File]:
    """reprepro's configuration, and the key that it signs with."""
    distributions = (
        f"Origin: jizuo\nLabel: jizuo\nCodename: {SUITE}\nArchitectures: {architecture}\nComponents: main\n"
        f"Description: {description(fingerprint)}\nSignWith: {fingerprint}\n"
        "DebIndices: Packages Release . .gz\n"
    )
    return [
        File(f"{BASE}/conf/distributions", distributions),
        File(f"{BASE}/conf/options", f"outdir {ROOT}\nsilent\n"),
        File(SIGNING_KEY, private_key, mode="600"),
    ]


@operation()
def published(debs: Path, closure: Closure, fingerprint: str) -> Iterator[StringCommand | FileUploadCommand]:
    """Packages that the mirror shall publish, in a repository signed by the key of that fingerprint.

    + debs: the folder on the controller that holds the packages' files
    + closure: the packages
    + fingerprint: the OpenPGP key's, 40 hexadecimal digits

    Only what is missing, of another version, or damaged is sent. Packages that the mirror publishes and the
    closure does not name stay: somebody put them there.
    """
    state = host.get_fact(PublishedPackages) or Published()
    missing = [package for package in closure.packages if package.sha256 not in state.whole]
    if not missing and state.signed and state.description == description(fingerprint):
        host.noop(f"{len(closure.packages)} packages are published")
        return
    send = {package.file for package in missing}
    if not state.has_tools:
        send.update(closure.bootstrap)
    if send:
        yield from upload(_INCOMING, {name: debs / name for name in sorted(send)})
    present = {*state.whole.values(), *state.damaged}
    script = publish_script(
        missing,
        replaced=sorted({package.name for package in missing} & present),
        install=() if state.has_tools else closure.bootstrap,
    )
    yield StringCommand("/bin/sh -s", _stdin=script)


#: A reprepro that was killed leaves its lock, and databases that do not fit the pool. They are made anew from
#: what is published: those files are linked aside and taken in again with the others. A repair that is killed
#: is begun again by the next one: the lock goes last, and what was linked aside stays until all is signed.
_REBUILD = f"""
if [ -e ../db/lockfile ] && ! pgrep -x reprepro >/dev/null; then
    mkdir -p rebuilt
    sed -n 's/^Filename: //p' {ROOT}/dists/{SUITE}/main/binary-*/Packages 2>/dev/null | while read -r file; do
        [ ! -f "{ROOT}/$file" ] || ln -f "{ROOT}/$file" rebuilt/
    done
    rm -rf {ROOT}/pool
    find ../db -mindepth 1 ! -name lockfile -delete
    rm -rf ../db
fi
""".strip()


def publish_script(missing: Iterable[Package], replaced: Iterable[str], install: Iterable[str]) -> str:
    """The shell script that takes uploaded packages into the repository and signs it; pure."""
    lines = [
        "set -eu",
        "umask 022",
        f"mkdir -p {_INCOMING} {ROOT}",
        f"cd {_INCOMING}",
        "exec 9>../lock",
        "flock 9",
    ]
    if files := " ".join(shlex.quote(f"./{name}") for name in install):
        lines += [
            "export DEBIAN_FRONTEND=noninteractive",
            "dpkg --configure -a >&2 </dev/null",
            "apt-get -qq -o DPkg::Lock::Timeout=60 install -y --no-install-recommends "
            f"{files} >&2 </dev/null",
        ]
    lines += [
        # The key is in a key ring for as long as this takes; an agent that holds it ends with it.
        "rm -rf /run/jizuo-gpg.*",
        "GNUPGHOME=$(mktemp -d /run/jizuo-gpg.XXXXXX)",
        "export GNUPGHOME",
        "trap 'gpgconf --kill all; rm -rf \"$GNUPGHOME\"' EXIT",
        "trap 'exit 129' HUP INT TERM",
        f"gpg --batch --quiet --import {SIGNING_KEY} >&2 </dev/null",
        f"gpg --batch --quiet --export >{_PUBLIC_KEY}.new && mv -f {_PUBLIC_KEY}.new {_PUBLIC_KEY}",
        'in_repository() { reprepro --basedir .. --export=never "$@" >&2 </dev/null; }',
        _REBUILD,
    ]
    if names := " ".join(map(shlex.quote, replaced)):
        lines += [
            f'for name in {names}; do rm -f rebuilt/"$name"_*; done',
            f"in_repository remove {SUITE} {names}",
        ]
    files = " ".join(shlex.quote(f"./{package.file}") for package in missing)
    lines += [
        f"set -- {files}",
        'for deb in rebuilt/*.deb; do [ ! -f "$deb" ] || set -- "$@" "$deb"; done',
        f'[ $# = 0 ] || in_repository includedeb {SUITE} "$@"',
    ]
    lines += [
        f"reprepro --basedir .. export {SUITE} >&2 </dev/null",
        f"cd / && rm -rf {_INCOMING}",
    ]
    return "\n".join(lines) + "\n"
