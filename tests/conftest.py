"""What every test may rely on, however the tests were started."""

from __future__ import annotations

import os
import signal

from deploy.lab.machine import fetched_programs


def pytest_configure() -> None:
    """Whoever is started by a shell in the background ignores Ctrl-C, and tests that press it would wait for ever."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # What `jizuo test` fetched is there for whoever runs pytest by itself, too.
    os.environ["PATH"] = os.pathsep.join([os.environ["PATH"], *map(str, fetched_programs())])
