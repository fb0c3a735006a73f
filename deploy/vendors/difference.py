"""What has to be sent to a device so that its configuration becomes the wanted one? Pure; hier-config does the trees.

Only what is this kit's own is compared: the sections that :class:`Dialect` lists, and the ports of the plan. What
else a device has (its users, its clock, other routing instances) is left alone. Both sides are brought into one form
first, because a device may display an address, a mask or an AS number otherwise than it was given.

Passwords never enter the trees. A device shows them enciphered, so a line is the same when the ciphertext is the one
that the device showed after the password was set (:mod:`deploy.vendors.seals`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from hier_config import HConfig, get_hconfig
from hier_config.child import HConfigChild
from hier_config.models import IdempotentCommandsRule, MatchRule
from hier_config.platforms.driver_base import HConfigDriverBase, HConfigDriverRules
from netaddr import AddrFormatError, IPAddress, IPNetwork

from deploy.vendors.dialects import Dialect

#: A session's password, as it is typed or as it is displayed.
PASSWORD = re.compile(r"^(peer (\S+) password) (\S+) (\S+)$")
#: What stands in a shown line for a secret.
MASK = "******"


class Line(NamedTuple):
    """A line of a configuration, below the views that lead to it."""

    views: tuple[str, ...]
    text: str


@dataclass
class Configuration:
    """A configuration in comparable form: its lines in order, and what each password line really says."""

    lines: list[Line] = field(default_factory=list)
    passwords: dict[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return "".join(f"{' ' * len(line.views)}{line.text}\n" for line in self.lines)


class Difference(NamedTuple):
    """The lines that bring a device to the wanted configuration, in the order of sending.

    `commands` are typed as they stand, secrets and `quit` included; `shown` is for people, indented, masked.
    """

    commands: tuple[str, ...]
    shown: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.commands)


#: Gives the comparable form of a password line: of the peer, and of what stands after `cipher` or `simple`.
Fingerprint = Callable[[str, str], str]


def parse(text: str, fingerprint: Fingerprint) -> Configuration:
    """A configuration as displayed or as rendered, in comparable form."""
    found = Configuration()
    views: list[str] = []
    top_indented = after_separator = False
    for raw in text.splitlines():
        line = raw.rstrip()
        if line == "#":
            # Comware indents single lines of the system view; a separator at the margin ends every section.
            views, top_indented, after_separator = [], False, True
            continue
        stripped = line.strip()
        if not stripped or stripped.startswith(("#", "!")) or stripped == "return":
            continue
        depth = len(line) - len(line.lstrip(" "))
        if after_separator:
            top_indented, after_separator = depth > 0, False
        if top_indented:
            depth = 0
        del views[depth:]
        canonical = _canonical(stripped)
        if match := PASSWORD.match(canonical):
            canonical = f"{match[1]} {fingerprint(match[2], match[4])}"
            found.passwords[canonical] = stripped
        found.lines.append(Line(tuple(views), canonical))
        views += [canonical] * (depth + 1 - len(views))
    return found


def owned(configuration: Configuration, dialect: Dialect, ports: Iterable[str]) -> Configuration:
    """The part that is this kit's own; ports that it once filtered are cleared when the plan has them no more."""
    interfaces = {f"interface {port}" for port in (*ports, "LoopBack0")} | {
        line.views[0]
        for line in configuration.lines
        if line.views
        and line.views[0].startswith("interface ")
        and re.match(r"traffic-policy jizuo-|packet-filter (?:ipv6 )?300[123] inbound", line.text)
    }
    top = re.compile("|".join(f"(?:{pattern})" for pattern in dialect.owned))
    left = re.compile("|".join(dialect.left_alone))
    kept = [
        line
        for line in configuration.lines
        for first in [line.views[0] if line.views else line.text]
        if (first in interfaces or top.match(first))
        and not (line.views and any(left.search(text) for text in (*line.views[1:], line.text)))
    ]
    return Configuration(kept, configuration.passwords)


def difference(running: Configuration, wanted: Configuration, dialect: Dialect) -> Difference:
    """What has to be sent to a device that has `running` so that it has `wanted`; both as :func:`owned` gives them."""
    wanted = _with_empty_sections(running, wanted)
    running = _without_lost_peers(running, wanted)
    driver = _driver(dialect)
    remediation = get_hconfig(driver, running.text).config_to_get_to(get_hconfig(driver, wanted.text))
    commands: list[str] = []
    shown: list[str] = []
    for section in _sections(remediation, dialect):
        _emit(section, 0, wanted.passwords, commands, shown)
    return Difference(tuple(commands), tuple(shown))


class _Section(NamedTuple):
    """A line to send and the lines below it."""

    text: str
    children: tuple[_Section, ...]


def _emit(
    section: _Section, depth: int, passwords: Mapping[str, str], commands: list[str], shown: list[str]
) -> None:
    commands.append(passwords.get(section.text, section.text))
    shown.append(" " * depth + masked(passwords.get(section.text, section.text)))
    for child in section.children:
        _emit(child, depth + 1, passwords, commands, shown)
    if section.children or _opens_view(section.text):
        commands.append("quit")


def masked(line: str) -> str:
    """The line without its secret."""
    return re.sub(r"(password (?:cipher|simple)) \S+", rf"\1 {MASK}", line)


def _opens_view(text: str) -> bool:
    return bool(
        re.match(
            r"(?:interface|acl|traffic (?:classifier|behavior|policy)|route-policy|bgp|bfd$|ipv[46]-family|"
            r"address-family) ?",
            text,
        )
    )


def _sections(remediation: HConfig, dialect: Dialect) -> list[_Section]:
    """The top-level sections in an order in which nothing is named before it is there, or gone while it is named."""
    sections = [_section(child) for child in remediation.children]
    split: list[_Section] = []
    for section in sections:
        gone = tuple(child for child in section.children if _removes(child))
        kept = tuple(child for child in section.children if not _removes(child))
        # An address goes from its old port before it comes to the new one.
        if section.text.startswith("interface ") and gone and kept:
            split += [_Section(section.text, gone), _Section(section.text, kept)]
        else:
            split.append(section)
    set_again = {_object(section.text) for section in sections if not section.text.startswith("undo ")}
    return sorted(split, key=lambda section: _rank(section, set_again, dialect))


def _section(child: HConfigChild) -> _Section:
    children = [_section(grandchild) for grandchild in child.children]
    gone = [section for section in children if _removes(section)]
    kept = [section for section in children if not _removes(section)]
    # What was built last goes first: addresses before `ipv6 enable`, a peer's properties before the peer.
    return _Section(child.text, (*reversed(gone), *kept))


def _removes(section: _Section) -> bool:
    return section.text.startswith("undo ") and section.text not in _STATES


#: Lines that begin with `undo` and are a setting of their own.
_STATES = ("undo shutdown", "undo default ipv4-unicast")


def _rank(section: _Section, set_again: set[str], dialect: Dialect) -> tuple[int, int]:
    text = section.text.removeprefix("undo ")
    is_undo = section.text.startswith("undo ")
    place = next(
        (n for n, pattern in enumerate(dialect.order) if re.match(pattern, text)), len(dialect.order)
    )
    if is_undo and _object(text) not in set_again:
        return 2 * len(dialect.order) - place, 0
    only_removes = bool(section.children) and all(map(_removes, section.children))
    return place, 0 if is_undo or only_removes else 1


def _object(text: str) -> str:
    """What a top-level line is about: two lines about the same thing cannot both stand."""
    for pattern in (
        r"(route-policy) (\S+) (?:(?:permit|deny) )?(node \d+)",
        r"(ip(?:v6)? (?:ip-prefix|ipv6-prefix|prefix-list)) (\S+) (index \d+)",
        r"(ip(?:v6)? route-static) (\S+ \S+)",
        r"(bgp) ",
    ):
        if match := re.match(pattern, text):
            return " ".join(match.groups())
    return text


def _with_empty_sections(running: Configuration, wanted: Configuration) -> Configuration:
    """Ports stay when the plan has them no more, emptied: hardware cannot be removed, a loopback can."""
    there = {line.text for line in wanted.lines}
    missing = {
        line.text: None
        for line in running.lines
        if not line.views and line.text.startswith("interface ") and line.text not in there
        if not line.text.startswith("interface LoopBack")
    }
    return Configuration([*wanted.lines, *(Line((), text) for text in missing)], wanted.passwords)


def _without_lost_peers(running: Configuration, wanted: Configuration) -> Configuration:
    """Of a peer that goes, or whose AS number changes, one line: taking that back takes back all of it."""
    stays = {(line.views, line.text) for line in wanted.lines if re.match(r"peer \S+ as-number ", line.text)}
    lost = {
        (line.views[0], line.text.split()[1])
        for line in running.lines
        if re.match(r"peer \S+ as-number ", line.text) and (line.views, line.text) not in stays
    }
    kept = [
        line
        for line in running.lines
        if not (
            line.views
            and line.text.startswith("peer ")
            and (line.views[0], line.text.split()[1]) in lost
            and " as-number " not in line.text
        )
    ]
    return Configuration(kept, running.passwords)


@functools.cache
def _driver(dialect: Dialect) -> HConfigDriverBase:
    """hier-config's own driver of the platform, with what this kit's lines need besides."""
    base = type(get_hconfig(dialect.platform, "").driver)

    class Driver(base):  # type: ignore[misc, valid-type]
        """The platform's driver, with the lines of which the last counts and the ways to take lines back."""

        def swap_negation(self, child: HConfigChild) -> HConfigChild:
            if child.text.startswith("undo "):
                child.text = child.text.removeprefix("undo ")
                return child
            text = f"undo {child.text}"
            for found, sent in dialect.undo:
                if re.match(found, text):
                    text = re.sub(found, sent, text)
                    break
            child.text = text
            return child

        @staticmethod
        def _instantiate_rules() -> HConfigDriverRules:
            rules: HConfigDriverRules = base._instantiate_rules()
            above = {1: (), 2: (MatchRule(re_search="."),), 3: (MatchRule(re_search="."),) * 2}
            return rules.model_copy(
                update={
                    "idempotent_commands": [
                        IdempotentCommandsRule(match_rules=(*views, MatchRule(re_search=pattern)))
                        for pattern in dialect.replaced
                        for views in above.values()
                    ]
                }
            )

    return Driver()


_DOTTED_AS = re.compile(r"^(\d{1,5})\.(\d{1,5})$")


def _canonical(line: str) -> str:
    """A line as it is compared and sent: lengths for masks, RFC 5952 addresses, plain AS numbers (RFC 5396)."""
    if match := re.match(r"(?:peer \S+ )?(?:description|sysname) ", line):
        return " ".join(map(_ipv6, match[0].split(" "))) + line[match.end() :]
    words = line.split(" ")
    for place, word in enumerate(words):
        if ":" in word:
            words[place] = _ipv6(word)
        elif words[place - 1] in ("bgp", "as-number") and (match := _DOTTED_AS.match(word)):
            words[place] = str(int(match[1]) * 65536 + int(match[2]))
        elif place and word.count(".") == 3 and words[place - 1].count(".") == 3:
            words[place] = _length(word, is_wildcard=words[0] == "rule")
    return " ".join(words)


def _ipv6(word: str) -> str:
    if ":" not in word:
        return word
    try:
        return str(IPNetwork(word)) if "/" in word else str(IPAddress(word))
    except (AddrFormatError, ValueError):
        return word


def _length(mask: str, *, is_wildcard: bool) -> str:
    """The length of a mask; of a wildcard only the one of a single address has a shorter form."""
    try:
        address = IPAddress(mask)
    except (AddrFormatError, ValueError):
        return mask
    if is_wildcard:
        return "0" if int(address) == 0 else mask
    return str(address.netmask_bits()) if address.is_netmask() else mask


def peers(configuration: Configuration) -> Iterator[tuple[str, str]]:
    """Each peer that has a password, and what stands in its line for it."""
    for line in configuration.passwords.values():
        if match := PASSWORD.match(_canonical(line)):
            yield match[2], match[4]
