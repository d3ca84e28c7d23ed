"""One `run` at a time for one state directory."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from project_migration.cli.errors import Trouble


@contextmanager
def locked(state_dir: Path) -> Iterator[None]:
    """Holds the directory's lock, which goes with the process however it ends. Raises Trouble when another has it.

    A directory that was made for the lock only is removed again.
    """
    new = not state_dir.exists()
    try:
        state_dir.mkdir(mode=0o711, parents=True, exist_ok=True)
        descriptor = os.open(state_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        where = f"the state directory {state_dir}"
        raise Trouble(f"{where} cannot be used: {error.strerror}; choose another with --state DIR") from error
    try:
        _take(descriptor, state_dir)
        yield
    finally:
        if new and not (state_dir / "state.json").exists():
            with suppress(OSError):
                (state_dir / "lock").unlink()
                state_dir.rmdir()
        os.close(descriptor)


def is_locked(state_dir: Path) -> bool:
    """Whether a `run` is at work there. Nothing is written by looking."""
    try:
        descriptor = os.open(state_dir / "lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _take(descriptor: int, state_dir: Path) -> None:
    """A moment's patience: somebody who only looks holds the lock for as long as that takes."""
    deadline = time.monotonic() + 0.3
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            who = os.pread(descriptor, 100, 0).decode("utf-8", "replace").strip() or "another process"
            raise Trouble(
                f"{who} is at work on {state_dir}; see it with: project-migration watch --state {state_dir}"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"process {os.getpid()}".encode(), 0)
        return
