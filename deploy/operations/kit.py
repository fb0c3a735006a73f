"""The kit on the operations node: a folder for each release, and /opt/jizuo, a link to the current one."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator

from pyinfra import host
from pyinfra.api import FactBase, FileUploadCommand, StringCommand, operation

from deploy.hoststate.uploads import upload
from deploy.operations.wheelhouse import Wheelhouse

#: Where the current release is, and all of them.
HOME, RELEASES = "/opt/jizuo", "/opt/jizuo.releases"
_WHEELS = "/var/lib/jizuo/wheelhouse"
#: What runs on other hosts (Ansible's modules) or in nobody's production (its tests) is not compiled here.
_NOT_COMPILED = r"/ansible/(modules|module_utils)/|/ansible_test/"


class CurrentRelease(FactBase[str]):
    """The release that /opt/jizuo links to, when it is whole and its units run it; an empty string otherwise."""

    default = str

    def command(self) -> str:
        return f"test -x {HOME}/bin/jizuo && cat {HOME}/release 2>/dev/null || true"

    def process(self, output: Iterable[str]) -> str:
        return "".join(output).strip()


class StoredWheels(FactBase[set[str]]):
    """The SHA-256 of every wheel that earlier releases left on the host."""

    default = set

    def command(self) -> str:
        return f"cd {_WHEELS} 2>/dev/null && sha256sum -- *.whl 2>/dev/null || true"

    def process(self, output: Iterable[str]) -> set[str]:
        return {line.split()[0] for line in output if re.match(r"[0-9a-f]{64} ", line)}


@operation()
def installed(
    wheelhouse: Wheelhouse, restart: tuple[str, ...] = ()
) -> Iterator[StringCommand | FileUploadCommand]:
    """The release of the kit that shall be current.

    + wheelhouse: all its wheels
    + restart: units that run the kit; those that are active are restarted

    Only wheels that the host lacks are sent. The release is made whole beside the current one, must start,
    and becomes current by the rename of a link; releases other than these two are removed.
    """
    if host.get_fact(CurrentRelease) == wheelhouse.release:
        host.noop(f"release {wheelhouse.release} is current")
        return
    stored = host.get_fact(StoredWheels) or set()
    if missing := {
        wheel.file: wheelhouse.paths[wheel.file] for wheel in wheelhouse.wheels if wheel.sha256 not in stored
    }:
        yield from upload(_WHEELS, missing)
    yield StringCommand("/bin/sh -s", _stdin=install_script(wheelhouse, restart))


def install_script(wheelhouse: Wheelhouse, restart: Iterable[str]) -> str:
    """The shell script that makes a release from the wheels on the host; pure."""
    requirements = "\n".join(wheel.requirement for wheel in wheelhouse.wheels)
    kept = " ".join(wheel.file for wheel in wheelhouse.wheels)
    units = " ".join(map(shlex.quote, restart))
    return f"""set -eu
umask 022
release={RELEASES}/{shlex.quote(wheelhouse.release)}
current=$(readlink {HOME} || true)
rm -rf "$release"
mkdir -p "$release"
cat >"$release/requirements.txt" <<'END'
{requirements}
END
python3 -m venv --without-pip "$release" </dev/null
# pip itself stays out of the release: Debian's wheel of it does the work.
set -- /usr/share/python-wheels/pip-*.whl
"$release/bin/python" "$1/pip" --quiet --disable-pip-version-check install --no-index --no-deps \\
    --no-compile --find-links={_WHEELS} --require-hashes --root-user-action=ignore \\
    -r "$release/requirements.txt" >&2 </dev/null
"$release/bin/jizuo" --version >&2 </dev/null
ln -sfn "$release" {HOME}.new
mv -T {HOME}.new {HOME}
for old in {RELEASES}/*; do
    [ "$old" = "$release" ] || [ "$old" = "$current" ] || rm -rf "$old"
done
cd {_WHEELS}
for wheel in *.whl; do
    case {shlex.quote(f" {kept} ")} in *" $wheel "*) ;; *) rm -f "$wheel";; esac
done
# Byte code makes starting faster, and nothing waits for it.
systemctl stop jizuo-compile.service 2>/dev/null || true
systemd-run --quiet --collect --unit=jizuo-compile --nice=19 --property=IOSchedulingClass=idle -- \\
    "$release/bin/python" -m compileall -q -x {shlex.quote(_NOT_COMPILED)} "$release/lib"
for unit in {units}; do
    ! systemctl is-active -q -- "$unit" || systemctl restart -- "$unit"
done
# Last of all: a run that ends before here is done again by the next deploy, restarts included.
printf '%s\\n' {shlex.quote(wheelhouse.release)} >"$release/release"
"""
