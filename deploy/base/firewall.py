"""The firewall: checked, applied in one transaction, and undone by the host itself if SSH is lost."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Sequence

from pyinfra import host
from pyinfra.api import FactBase, FunctionCommand, StringCommand, operation

from deploy.hoststate.files import File
from deploy.hoststate.reach import PATIENCE, must_answer

CONFIGURATION = "/etc/nftables.conf"
#: Digest of the table as the kernel listed it, without counters, when the rules were found good.
STAMP = "/var/lib/jizuo/nftables.sha256"
#: The rules to go back to; it is there as long as new rules are on trial.
BEFORE = "/run/jizuo-nft-before"
#: `-s` leaves the counters out: the same rules list the same at any time and after a reboot.
#: The limits' table is left out: its sets hold whoever spoke last.
_LISTING = "nft -s list table inet jizuo && nft -s list table bridge jizuo"


class RulesState(FactBase[dict[str, str]]):
    """The rules of a host: `file` as :attr:`File.state` has it, `loaded` and `kept` digests of the kernel's table.

    `loaded` is what the kernel has now, `kept` what it had when the rules were found good; `none` where there
    is no such thing.
    """

    default = dict

    def command(self) -> str:
        return (
            f"file=$(sha256sum <{CONFIGURATION} 2>/dev/null) "
            f"&& printf 'file %s %s\\n' \"${{file%% *}}\" \"$(stat -c '%a %U %G' {CONFIGURATION})\"; "
            f"if table=$({{ {_LISTING}; }} 2>/dev/null); then table=$(printf '%s\\n' \"$table\" | sha256sum); "
            "else table=none; fi; printf 'loaded %s\\n' \"${table%% *}\"; "
            f"printf 'kept %s\\n' \"$(cat {STAMP} 2>/dev/null || echo none)\""
        )

    def process(self, output: Iterable[str]) -> dict[str, str]:
        return dict(line.split(" ", 1) for line in output if " " in line)


@operation()
def firewall(rules: str, reach: Sequence[str]) -> Iterator[StringCommand | FunctionCommand]:
    """Bring the host's rules to `rules`, the text of an nft script.

    + rules: the script; it replaces its own table in one transaction
    + reach: the host's management addresses, each of which must still answer SSH afterwards

    The new rules are checked with `nft -c`, loaded, and kept only after a new SSH connection to every address
    of `reach` has been answered. Otherwise, also when the controller dies in between, the host puts its old
    rules back after :data:`PATIENCE` seconds. Rules that somebody changed or flushed in the kernel are loaded
    again, even if the file is as it shall be.
    """
    state = host.get_fact(RulesState) or {}
    loaded = state.get("loaded", "none")
    if (
        state.get("file") == File(CONFIGURATION, rules, mode="600").state
        and loaded != "none"
        and loaded == state.get("kept")
    ):
        host.noop("the rules are as they shall be")
        return
    yield StringCommand("/bin/sh -s", _stdin=try_script(rules))
    yield FunctionCommand(must_answer, [list(reach)], {})
    yield StringCommand("/bin/sh -s", _stdin=keep_script(rules))


def try_script(rules: str) -> str:
    """The script that checks and loads new rules and arms the way back; pure."""
    encoded = base64.encodebytes(rules.encode()).decode().rstrip("\n")
    return f"""set -eu
umask 077
trial={CONFIGURATION}.jizuo
before={BEFORE}
# Rules still on trial were never found good: they are no state to go back to. Restored first, disarmed then:
# whatever ends this script in between, the old rules are there.
if [ -e "$before" ]; then
    nft -f "$before" || [ ! -e "$before" ]
fi
systemctl stop jizuo-nft-rollback.timer jizuo-nft-rollback.service 2>/dev/null || true
rm -f "$before"
base64 -d >"$trial" <<'END'
{encoded}
END
if ! nft -c -f "$trial" >&2 </dev/null; then
    rm -f "$trial"
    echo 'nft refuses the new rules; nothing was changed' >&2
    exit 1
fi
{{ echo 'flush ruleset'; nft list ruleset; }} >"$before.new"
mv -f "$before.new" "$before"
systemd-run --quiet --collect --unit=jizuo-nft-rollback --on-active={PATIENCE}s --timer-property=AccuracySec=100ms \\
    sh -c "nft -f $before && rm -f $before $trial"
nft -f "$trial"
"""


def keep_script(rules: str) -> str:
    """The script that makes the rules on trial the host's own; it refuses any but `rules`; pure."""
    digest = hashlib.sha256(rules.encode()).hexdigest()
    return f"""set -eu
umask 077
trial={CONFIGURATION}.jizuo
if [ "$(sha256sum <"$trial")" != "{digest}  -" ]; then
    echo 'another deploy has put other rules on trial; run again' >&2
    exit 1
fi
systemctl stop jizuo-nft-rollback.timer
table=$({_LISTING})
table=$(printf '%s\\n' "$table" | sha256sum)
( umask 022; mkdir -p {STAMP.rpartition("/")[0]} )
printf '%s\\n' "${{table%% *}}" >{STAMP}.new
mv -f {STAMP}.new {STAMP}
mv -f "$trial" {CONFIGURATION}
rm -f {BEFORE}
"""
