"""Signals while `run` works: each is noted, and none can make the program wait for itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

from project_migration.cli.follow import Interruption

#: Another process sends them: only then does one arrive while the handler of the one before runs.
STORM = """
import os, signal, subprocess, sys
from project_migration.cli.follow import Interruption

SENDER = "import os, signal\\nfor _ in range(50_000): os.kill(os.getppid(), signal.SIGCHLD)"
interruption = Interruption()
with interruption.noted():
    sender = subprocess.Popen((sys.executable, "-c", SENDER))
    while sender.poll() is None:
        interruption.wait(0.0001)
"""


def test_helpers_that_end_at_the_same_moment_do_not_stop_the_program_for_ever() -> None:
    done = subprocess.run((sys.executable, "-c", STORM), timeout=60, check=False)
    assert done.returncode == 0


def test_a_signal_ends_the_wait_at_once_and_is_remembered() -> None:
    interruption = Interruption()
    with interruption.noted():
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGTERM)).start()
        began = time.monotonic()
        interruption.wait(30)
    assert time.monotonic() - began < 30
    assert interruption.asked


def test_a_signal_that_came_before_the_wait_is_not_missed() -> None:
    interruption = Interruption()
    with interruption.noted():
        os.kill(os.getpid(), signal.SIGCHLD)
        began = time.monotonic()
        interruption.wait(30)
    assert time.monotonic() - began < 30
    assert not interruption.asked


def test_handlers_are_as_before_afterwards() -> None:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)}
    with Interruption().noted():
        pass
    assert before == {number: signal.getsignal(number) for number in before}
    assert signal.set_wakeup_fd(-1) == -1
