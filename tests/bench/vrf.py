"""Are private networks apart where the kernel has VRF devices? Debian's own kernel in a virtual machine, real packets.

Run by `jizuo bench vrf`, as root. The tests are those of tests/lab/vrf.py; further arguments are pytest's. No part of
`jizuo test`: where KVM cannot be used, it takes minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1] / "lab" / "vrf.py"


def main(arguments: Sequence[str] = ()) -> int:
    """Run the tests and print what each took; exit code 1 when one failed."""
    if "-h" in arguments or "--help" in arguments:
        print(__doc__)
        return 0
    return int(pytest.main([str(TESTS), "--verbose", "--durations=5", *arguments]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
