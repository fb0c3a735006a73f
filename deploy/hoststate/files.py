"""Sets of files that take effect together: compared in one command, validated, renamed, rolled back on failure.

pyinfra's own file operations change one file a time and know no validation; a daemon's configuration is
several files that are right or wrong together.
"""

from __future__ import annotations

import base64
import hashlib
import shlex
from collections.abc import Iterable, Iterator, Sequence

import msgspec
from pyinfra import host
from pyinfra.api import FactBase, FunctionCommand, StringCommand, operation

from deploy.hoststate.reach import must_answer

#: Held on the host while a set of files is brought there.
LOCK = "/run/jizuo-files.lock"
#: How long files on trial wait for word that the host can be reached, in seconds; activation is part of it.
TRIAL = 45


class File(msgspec.Struct, frozen=True):
    """A file as it shall be on the host. `content` None means that there shall be none."""

    path: str
    content: str | bytes | None
    mode: str = "644"
    owner: str = "root"
    group: str = "root"

    @property
    def data(self) -> bytes:
        content = self.content or b""
        return content.encode() if isinstance(content, str) else content

    @property
    def state(self) -> str:
        """What the fact says of the file when it is as it shall be."""
        if self.content is None:
            return "absent"
        return f"{hashlib.sha256(self.data).hexdigest()} {self.mode} {self.owner} {self.group}"


class FileStates(FactBase[dict[str, str]]):
    """What each path is: `sha256 mode owner group`, or `absent`. One command for any number of paths.

    + paths: absolute paths
    + patterns: absolute shell patterns without spaces; every match is reported too
    """

    default = dict

    def command(self, paths: Sequence[str], patterns: Sequence[str] = ()) -> str:
        # A pattern is the deploy's own text, with the shell's wildcards left to the shell.
        names = " ".join([*(shlex.quote(path) for path in paths), *patterns])
        return (
            f"for path in {names}; do "
            'if [ -e "$path.jizuo-old" ] || [ -e "$path.jizuo-new" ]; then printf \'unfinished - - - %s\\n\' "$path"; '
            'elif [ -f "$path" ] && [ ! -L "$path" ]; then '
            'sum=$(sha256sum <"$path"); printf \'%s %s %s\\n\' "${sum%% *}" "$(stat -c \'%a %U %G\' "$path")" "$path"; '
            'elif [ -e "$path" ] || [ -L "$path" ]; then printf \'other - - - %s\\n\' "$path"; '
            "else printf 'absent %s\\n' \"$path\"; fi; done"
        )

    def process(self, output: Iterable[str]) -> dict[str, str]:
        states = {}
        for line in output:
            if line.startswith("absent "):
                states[line.removeprefix("absent ")] = "absent"
                continue
            parts = line.split(" ", 4)
            if len(parts) == 5:
                states[parts[4]] = " ".join(parts[:4])
        return states


@operation()
def files(
    wanted: Sequence[File],
    validate: Sequence[str] = (),
    activate: Sequence[str] = (),
    confirm: Sequence[str] = (),
    exclusive: Sequence[str] = (),
    reach: Sequence[str] = (),
) -> Iterator[StringCommand | FunctionCommand]:
    """Bring a set of files to a host, all or none.

    + wanted: the files, with content, mode and owner
    + validate: shell commands that run before anything takes effect; `{PATH}` of a wanted file stands for
      the place where its new content waits, `{root}` for a folder that holds all new files under their paths
    + activate: shell commands that make the new files take effect; they also run after a rollback
    + confirm: shell commands that must succeed after activation
    + exclusive: shell patterns of which this set is the whole: a file that matches and is not wanted goes
    + reach: the host's management addresses, each of which must still answer SSH afterwards

    If a validation fails, nothing has changed. If activation or confirmation fails, every file is put back as
    it was, `activate` runs once more, and the operation fails. With `reach` the new files are on trial until new
    SSH connections were answered: otherwise, also when the controller dies in between, the host itself puts the
    old ones back after :data:`TRIAL` seconds. The whole set travels as one remote command,
    on standard input, so that no content shows in a process list or a log.
    """
    states = (
        host.get_fact(FileStates, paths=tuple(file.path for file in wanted), patterns=tuple(exclusive)) or {}
    )
    known = {file.path for file in wanted} | set(exclusive)
    wanted = [*wanted, *(File(path, None) for path in sorted(states) if path not in known)]
    changed = [file for file in wanted if states.get(file.path, "absent") != file.state]
    if not changed:
        host.noop(f"{len(wanted)} files are as they shall be")
        return
    paths = {file.path for file in changed}
    script = apply_script(wanted, paths, validate, activate, confirm, on_trial=bool(reach))
    yield StringCommand("/bin/sh -s", _stdin=script)
    if reach:
        yield FunctionCommand(must_answer, [list(reach)], {})
        yield StringCommand("/bin/sh -s", _stdin=keep_script(wanted, paths))


def apply_script(
    wanted: Sequence[File],
    changed: set[str],
    validate: Sequence[str],
    activate: Sequence[str],
    confirm: Sequence[str],
    *,
    on_trial: bool = False,
) -> str:
    """The shell script that :func:`files` runs on the host; pure."""
    lines = [
        "set -eu",
        "umask 077",
        # One deploy at a time on a host; the lock goes with the shell, whatever ends it.
        f"exec 9>{LOCK}; flock -w 60 9 || {{ echo 'another deploy is at work on this host' >&2; exit 1; }}",
        "stage=$(mktemp -d /run/jizuo-stage.XXXXXX)",
        "trap 'rm -rf \"$stage\"' EXIT",
        "trap 'exit 129' HUP INT TERM",
    ]
    for file in wanted:
        if file.content is None:
            continue
        place = f'"$stage"/new{shlex.quote(file.path)}'
        lines += [
            f'mkdir -p "$stage"/new{shlex.quote(_folder(file.path))}',
            f"base64 -d >{place} <<'END'",
            base64.encodebytes(file.data).decode().rstrip("\n"),
            "END",
            f"chmod {shlex.quote(file.mode)} {place}",
            f"chown {shlex.quote(f'{file.owner}:{file.group}')} {place}",
        ]
    lines.append(
        'chmod 755 "$stage"; [ ! -d "$stage/new" ] || find "$stage/new" -type d -exec chmod 755 {} +'
    )
    for command in validate:
        complaint = shlex.quote(f"validation failed, nothing was changed: {command}")
        lines.append(
            f"( {_with_places(command, wanted)} ) >&2 </dev/null || {{ echo {complaint} >&2; exit 1; }}"
        )
    lines += _replace(wanted, changed)
    if on_trial:
        lines += _arm(wanted, changed, activate)
    if activate or confirm:
        steps = "\n".join(["set -e", *activate, *confirm])
        again = "\n".join(activate) or ":"
        lines += [
            "if ! sh -c " + shlex.quote(steps) + " >&2 </dev/null 9>&-; then",
            "  roll_back",
            "  sh -c " + shlex.quote(again) + " >&2 </dev/null 9>&- || true",
            *(_disarm(wanted) if on_trial else ()),
            "  echo 'activation failed; the files are as they were before' >&2",
            "  exit 1",
            "fi",
        ]
    if on_trial:
        # What was there before keeps its second names until word comes that the host can be reached.
        lines += ["trap - EXIT HUP INT TERM", 'rm -rf "$stage"']
    return "\n".join(lines) + "\n"


def keep_script(wanted: Sequence[File], changed: set[str]) -> str:
    """The script that makes files on trial the host's own; pure."""
    trial = _trial(wanted)
    gone = "the host went back to its old files before word came that it can be reached"
    return "\n".join(
        [
            "set -eu",
            f"systemctl stop {trial}.timer 2>/dev/null || true",
            # Whoever renames the script first decides: the timer that goes back, or this one.
            f"mv /run/{trial}.sh /run/{trial}.kept 2>/dev/null || {{ echo {shlex.quote(gone)} >&2; exit 1; }}",
            f"rm -f /run/{trial}.kept",
            *_clean(wanted, changed),
            "",
        ]
    )


def _trial(wanted: Sequence[File]) -> str:
    """The name of a set's unit and script while it is on trial: the same for the same set."""
    names = "\n".join(sorted(file.path for file in wanted if file.content is not None))
    return f"jizuo-trial-{hashlib.sha256(names.encode()).hexdigest()[:12]}"


def _arm(wanted: Sequence[File], changed: set[str], activate: Sequence[str]) -> list[str]:
    """The lines that make the host go back by itself, before anything takes effect."""
    trial = _trial(wanted)
    paths = [shlex.quote(file.path) for file in wanted if file.path in changed]
    back = [
        f"mv /run/{trial}.sh /run/{trial}.running || exit 0",
        *(
            f"if [ -e {path}.jizuo-old ] || [ -L {path}.jizuo-old ]; then mv -f {path}.jizuo-old {path}; "
            f"else rm -f {path}; fi"
            for path in paths
        ),
        f"( {chr(10).join(activate) or ':'} )",
        *_clean(wanted, changed),
        f"rm -f /run/{trial}.running",
    ]
    encoded = base64.encodebytes("\n".join([*back, ""]).encode()).decode().rstrip("\n")
    return [
        f"systemctl stop {trial}.timer 2>/dev/null || true",
        f"base64 -d >/run/{trial}.sh <<'END'",
        encoded,
        "END",
        f"systemd-run --quiet --collect --unit={trial} --on-active={TRIAL}s --timer-property=AccuracySec=100ms "
        f"/bin/sh /run/{trial}.sh || {{ roll_back; exit 1; }}",
    ]


def _disarm(wanted: Sequence[File]) -> list[str]:
    trial = _trial(wanted)
    return [f"  rm -f /run/{trial}.sh; systemctl stop {trial}.timer 2>/dev/null || true"]


def _clean(wanted: Sequence[File], changed: set[str]) -> list[str]:
    """The lines that remove what was kept for the way back."""
    paths = [shlex.quote(file.path) for file in wanted if file.path in changed]
    return [f"rm -f {path}.jizuo {path}.jizuo-old {path}.jizuo-new" for path in paths]


def _replace(wanted: Sequence[File], changed: set[str]) -> list[str]:
    """The lines that put the new files in their places, and the function that puts the old ones back.

    The way back needs no free block on a full disk: the old file keeps a second name in its own folder until
    all is well, and a rename brings it home.
    """
    paths = [(shlex.quote(file.path), file) for file in wanted if file.path in changed]
    lines = ["roll_back() {"]
    lines += [
        f'  case " $placed " in *" {number} "*) '
        f"if [ -e {path}.jizuo-old ] || [ -L {path}.jizuo-old ]; "
        f"then mv -f {path}.jizuo-old {path}; else rm -f {path}; fi;; esac"
        for number, (path, _) in enumerate(paths)
    ]
    lines += ["  true", "}", "clean() {"]
    lines += [f"  {line}" for line in _clean(wanted, changed)]
    lines += [
        '  rm -rf "$stage"',
        "}",
        "trap clean EXIT",
        "trap 'roll_back; exit 129' HUP INT TERM",
        "placed=",
    ]
    for number, (path, file) in enumerate(paths):
        complaint = shlex.quote(f"cannot write {file.path}; the files are as they were before")
        give_up = f"{{ roll_back; echo {complaint} >&2; exit 1; }}"
        lines += [
            f"( umask 022; mkdir -p {shlex.quote(_folder(file.path))} ) || {give_up}",
            f"rm -f {path}.jizuo",
            # What a run that was cut short left is the older state: it stays the way back.
            f"if [ -e {path}.jizuo-old ] || [ -e {path}.jizuo-new ]; then :; "
            f"elif [ -e {path} ] || [ -L {path} ]; then ln -P {path} {path}.jizuo-old || {give_up}; "
            f"else : >{path}.jizuo-new || {give_up}; fi",
        ]
        # Noted before the change: whatever ends this script from here on, the way back knows of this file.
        note = f'placed="$placed {number}"'
        if file.content is None:
            lines += [note, f"rm -f {path} || {give_up}"]
        else:
            # A copy into the same folder and a rename: at any moment the old file or the new one, never a part.
            lines += [
                f'cp -p "$stage"/new{path} {path}.jizuo || {give_up}',
                note,
                f"mv -fT {path}.jizuo {path} || {give_up}",
            ]
    return lines


def _folder(path: str) -> str:
    return path.rpartition("/")[0] or "/"


def _with_places(command: str, wanted: Sequence[File]) -> str:
    for file in wanted:
        command = command.replace("{" + file.path + "}", f'"$stage"/new{shlex.quote(file.path)}')
    return command.replace("{root}", '"$stage"/new')
