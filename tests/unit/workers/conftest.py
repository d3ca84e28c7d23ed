from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import trees
from tests.unit.workers.running import IS_ROOT, NOBODY, Bench


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A directory that an ordinary user can reach, too; trees deeper than a path may be long are removed from it."""
    if IS_ROOT:
        for directory in (tmp_path, *tmp_path.parents):
            if directory.stat().st_uid == os.geteuid() and not directory.stat().st_mode & 0o001:
                directory.chmod(directory.stat().st_mode | 0o011)
    yield tmp_path
    remove(tmp_path)


def remove(directory: Path) -> None:
    from project_migration.workers.copying.removal import remove_tree

    parent = os.open(directory, os.O_RDONLY)
    try:
        for entry in list(os.scandir(directory)):
            if entry.is_dir(follow_symlinks=False):
                remove_tree(parent, entry.name)
    finally:
        os.close(parent)


@pytest.fixture
def bench(home: Path) -> Bench:
    """Workers run as whoever runs the tests."""
    return Bench(home)


@pytest.fixture
def plain(home: Path) -> Bench:
    """Workers run as an ordinary user, to whom the three directories belong."""
    return Bench(home, user=NOBODY)


@pytest.fixture(scope="session")
def hard_tree(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Everything that makes trees hard, as far as whoever runs the tests may make it. Not to be changed."""
    home = tmp_path_factory.mktemp("hard")
    trees.make_hard(home / "tree", files=400)
    yield home / "tree"
    remove(home)


@pytest.fixture
def ordinary_tree(plain: Bench) -> Path:
    """The same, made by the ordinary user in his own source."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if IS_ROOT:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            trees.make_hard(plain.source, files=300)
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    return plain.source
