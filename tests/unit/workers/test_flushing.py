"""What was written is on the disk at the end, or the copy says that it is not."""

from __future__ import annotations

import errno
import threading

import pytest

from project_migration.workers import flushing
from project_migration.workers.flushing import Flusher


def test_an_error_of_an_early_flush_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel tells it to the first who asks; the flush at the end would find nothing wrong."""
    tried = threading.Event()

    def sync(_: int) -> None:
        if not tried.is_set():
            tried.set()
            raise OSError(errno.EIO, "the disk is broken")

    monkeypatch.setattr(flushing, "PAUSE", 0.01)
    monkeypatch.setattr(flushing, "sync", sync)
    with pytest.raises(OSError, match="broken"), Flusher(-1):
        assert tried.wait(5)


def test_the_last_flush_comes_after_the_last_write(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    monkeypatch.setattr(flushing, "sync", lambda _: done.append("flush"))
    with Flusher(-1):
        done.append("write")
    assert done[-1] == "flush"


def test_what_ends_a_copy_is_told_without_a_wait_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flushing, "sync", lambda _: pytest.fail("nobody waits for the disk now"))
    with pytest.raises(KeyError), Flusher(-1):
        raise KeyError
