"""The lines that say which way private networks go."""

from __future__ import annotations

from deploy.private.modes import mode_lines

REASON = (
    "kernel 6.1 makes no VRF device (Error: Unknown device type.), a network namespace stands in for each"
)


def test_a_line_for_each_way_and_reason() -> None:
    found = {
        "yufang": f"namespace: {REASON}",
        "fengcheng": "vrf: kernel 6.1 has VRF devices",
        "border-1": f"namespace: {REASON}",
    }
    assert mode_lines(found) == [
        f"private networks of 2 routers stand in network namespaces: {REASON}",
        "private networks of 1 router stand in VRFs: kernel 6.1 has VRF devices",
    ]


def test_nothing_is_said_where_nothing_was_found() -> None:
    assert mode_lines({}) == []
