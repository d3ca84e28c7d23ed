"""Running other programs, and telling the person who waits what is going on.

Everything said goes to standard error: standard output belongs to the one line that a shell
evaluates (``eval "$(python -m tests.cluster.node up)"``).
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

Argument = str | Path


class NodeError(Exception):
    """Something that stops the node, in words for the person who wanted one."""


class TooLateError(NodeError):
    """Something that was waited for did not come."""


def say(text: str) -> None:
    """One line of progress."""
    print(text, file=sys.stderr, flush=True)


@contextmanager
def step(title: str, *, slow: str = "") -> Iterator[None]:
    """Say how long the body took; what is ``slow`` is announced too, with what to expect."""
    if slow:
        say(f"{title} (takes {slow}) …")
    start = time.monotonic()
    yield
    say(f"{title}: {time.monotonic() - start:.1f} s")


def run(
    *arguments: Argument,
    timeout: float = 60,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, and show its last words if it fails."""
    argv = words(*arguments)
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env=env,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError as error:
        raise NodeError(f"{argv[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise NodeError(f"no end after {timeout:.0f} s: {' '.join(argv)}") from error
    if check and done.returncode != 0:
        last = tail(done.stdout + done.stderr)
        raise NodeError(f"exit code {done.returncode} from: {' '.join(argv)}\n{last}")
    return done


def tail(text: str, lines: int = 20) -> str:
    """The end of a log, indented so that it stands apart from our own words."""
    return "\n".join("    " + line for line in text.rstrip().splitlines()[-lines:])


def wait_for(what: str, probe: Callable[[], bool], *, seconds: float, every: float = 0.1) -> None:
    """Wait until ``probe`` says yes. It may raise to end the wait early."""
    end = time.monotonic() + seconds
    while not probe():
        if time.monotonic() > end:
            raise TooLateError(f"{what}: not after {seconds:.0f} s")
        time.sleep(every)


def words(*arguments: Argument) -> list[str]:
    """An argument list as the operating system takes it."""
    return [str(argument) for argument in arguments]
