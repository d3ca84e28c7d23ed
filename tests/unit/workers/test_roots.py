"""A root that a document names is never reached through a symbolic link."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from project_migration.workers.tree import open_root


def test_a_root_behind_a_link_is_refused_wherever_the_link_is(tmp_path: Path) -> None:
    real = tmp_path / "real" / "inner"
    real.mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "real" / "last").symlink_to("inner")
    os.close(open_root(str(real)))
    for path in (tmp_path / "link" / "inner", tmp_path / "real" / "last"):
        with pytest.raises(OSError, match="symbolic links") as caught:
            os.close(open_root(str(path)))
        assert caught.value.errno == errno.ELOOP


def test_a_missing_root_is_made_through_no_link(tmp_path: Path) -> None:
    os.close(open_root(str(tmp_path / "a" / "b" / "c"), make=True))
    assert (tmp_path / "a" / "b" / "c").is_dir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "a" / "out").symlink_to(elsewhere)
    with pytest.raises(OSError, match="symbolic links"):
        open_root(str(tmp_path / "a" / "out" / "new"), make=True)
    assert list(elsewhere.iterdir()) == []


def test_what_is_missing_or_no_directory_is_said_as_such(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileNotFoundError):
        open_root(str(tmp_path / "nowhere"))
    with pytest.raises(NotADirectoryError):
        open_root(str(tmp_path / "file"))
