"""Packages that shall be installed: any number of them in one fact command, installed in one transaction."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from pyinfra import host
from pyinfra.api import FactBase, StringCommand, operation


class MissingDebianPackages(FactBase[list[str]]):
    """Which of the named packages are not installed (dpkg status other than `install ok installed`)."""

    default = list

    def command(self, names: Sequence[str]) -> str:
        quoted = " ".join(shlex.quote(name) for name in names)
        return (
            f"for name in {quoted}; do "
            'case "$(dpkg-query -W -f=\'${Status}\' "$name" 2>/dev/null)" in '
            '"install ok installed") ;; *) printf \'%s\\n\' "$name";; esac; done'
        )

    def process(self, output: Iterable[str]) -> list[str]:
        return sorted(output)


#: policy-rc.d is Debian's own switch (invoke-rc.d(8)); 101 means: action not allowed. This one says so only while
#: the shell or its apt holds the lock: if they are killed, what stays behind allows everything, or asks the
#: administrator's own policy, which waits beside it and is put back at the end.
HOLD_SERVICES = r"""policy=/usr/sbin/policy-rc.d
exec 8>/run/jizuo-packages.lock
flock -w 60 8 || { echo 'another deploy installs packages on this host' >&2; exit 1; }
put_back() {
    if [ -e "$policy.jizuo-aside" ]; then mv -fT "$policy.jizuo-aside" "$policy"; else rm -f "$policy"; fi
}
cat >"$policy.jizuo" <<'END'
#!/bin/sh
flock -n /run/jizuo-packages.lock true || exit 101
[ ! -x /usr/sbin/policy-rc.d.jizuo-aside ] || exec /usr/sbin/policy-rc.d.jizuo-aside "$@"
exit 0
END
chmod 755 "$policy.jizuo"
if [ -e "$policy" ] && ! cmp -s "$policy" "$policy.jizuo"; then mv -fT "$policy" "$policy.jizuo-aside"; fi
trap put_back EXIT
trap 'exit 129' HUP INT TERM
mv -fT "$policy.jizuo" "$policy"
"""


@operation()
def debian_packages(names: Sequence[str], without_starting: bool = False) -> Iterator[StringCommand]:
    """Packages that shall be installed, from the sources that the host already has.

    + names: package names
    + without_starting: keep the packages' services from starting before they are configured (policy-rc.d)

    An interrupted earlier installation is completed first (`dpkg --configure -a`).
    """
    missing = host.get_fact(MissingDebianPackages, names=tuple(names))
    if not missing:
        host.noop(f"{len(names)} packages are installed")
        return
    quoted = " ".join(shlex.quote(name) for name in missing)
    transaction = (
        "apt-get -qq -o DPkg::Lock::Timeout=60 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "
        f"install -y --no-install-recommends {quoted} >&2 </dev/null"
    )
    # The mirror may have got packages since the host last looked.
    install = (
        "export DEBIAN_FRONTEND=noninteractive; "
        # What another run left half done is completed; a dpkg that is still at work is given a minute.
        'for wait in $(seq 30); do [ -n "$(dpkg --audit)" ] || break; '
        "dpkg --configure -a >&2 </dev/null && break; sleep 2; done; "
        f"{transaction} || {{ apt-get -qq update >&2 </dev/null; {transaction}; }}"
    )
    if without_starting:
        install = f"{HOLD_SERVICES}{install}"
    yield StringCommand("/bin/sh -s", _stdin=f"set -eu\n{install}\n")
