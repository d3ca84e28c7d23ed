from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import trees
from project_migration.workers.copying.removal import remove_tree
from tests.unit.workers.running import IS_ROOT, NOBODY, Bench


@pytest.fixture
def home() -> Iterator[Path]:
    """Not below pytest's own directory, which is closed to the ordinary user that root's tests become."""
    with _home() as directory:
        yield directory


@contextlib.contextmanager
def _home() -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="workers-"))
    directory.chmod(0o755)
    try:
        yield directory
    finally:
        remove(directory)


def remove(directory: Path) -> None:
    """Also what is deeper than a path may be long."""
    parent = os.open(directory.parent, os.O_RDONLY)
    try:
        remove_tree(parent, directory.name)
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
def hard_tree() -> Iterator[Path]:
    """Everything that makes trees hard, as far as whoever runs the tests may make it. Not to be changed."""
    with _home() as directory:
        trees.make_hard(directory / "tree", files=300)
        yield directory / "tree"


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
