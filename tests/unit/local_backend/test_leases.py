from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from project_migration.backends.local.backend import LocalBackend
from project_migration.engine.effects import DropLease, TakeLease
from project_migration.engine.world import LeaseFacts, Questions

Open = Callable[..., LocalBackend]


def lease(backend: LocalBackend, name: str = "target") -> LeaseFacts | None:
    world = backend.observe(backend.load(backend.key), Questions(leases=frozenset({name})))
    return world.leases.get(name)


def take(backend: LocalBackend, name: str = "target", version: str | None = None) -> None:
    migration = backend.load(backend.key)
    backend.apply(migration, [TakeLease(name, migration.holder, version)])


def holds(backend: LocalBackend, name: str = "target") -> bool:
    found = lease(backend, name)
    return found is not None and found.holder == backend.load(backend.key).holder


def test_the_first_to_take_a_lock_has_it(open_backend: Open) -> None:
    first, second = open_backend(), open_backend(state="other")
    take(first)
    take(second)
    assert holds(first)
    assert not holds(second)
    found = lease(second)
    assert found is not None
    assert found.alive


def test_a_lock_given_back_may_be_taken(open_backend: Open) -> None:
    first, second = open_backend(), open_backend(state="other")
    take(first)
    found = lease(first)
    assert found is not None
    first.apply(first.load(first.key), [DropLease("target", "an old view")])
    assert holds(first)
    first.apply(first.load(first.key), [DropLease("target", found.version)])
    take(second)
    assert holds(second)


def test_a_migration_that_was_removed_holds_nothing(open_backend: Open) -> None:
    first, second = open_backend(), open_backend(state="other")
    take(first)
    shutil.rmtree(first.state.path)
    found = lease(second)
    assert found is not None
    assert not found.alive
    take(second, version=found.version)
    assert holds(second)


@pytest.mark.parametrize(("first", "second"), [("new", "new/models"), ("new/models", "new")])
def test_a_directory_inside_a_locked_one_is_locked_too(
    open_backend: Open, tmp_path: Path, first: str, second: str
) -> None:
    one = open_backend(target=tmp_path / first)
    other = open_backend(state="other", target=tmp_path / second)
    take(one, "lock of one")
    take(other, "lock of other")
    found = lease(other, "lock of other")
    assert found is not None
    assert found.holder == one.load(one.key).holder
    blocker = other.blocker()
    assert blocker is not None
    assert blocker.state_dir == one.state.path


def test_directories_that_lie_apart_do_not_lock_each_other(open_backend: Open, tmp_path: Path) -> None:
    one, other = open_backend(), open_backend(state="other", target=tmp_path / "new2")
    take(one, "lock of one")
    take(other, "lock of other")
    assert holds(one, "lock of one")
    assert holds(other, "lock of other")


def test_what_is_no_directory_is_locked_by_its_name(open_backend: Open, tmp_path: Path) -> None:
    one, other = open_backend(), open_backend(state="other", target=tmp_path / "new2")
    take(one, "lock of a database")
    take(other, "lock of a database")
    found = lease(other, "lock of a database")
    assert found is not None
    assert (found.holder, found.alive) == (one.load(one.key).holder, True)
    wanted = other.load(other.key)
    other.save(wanted, wanted.status.model_copy(update={"locks": ("lock of a database",)}))
    blocker = other.blocker()
    assert blocker is not None
    assert blocker.state_dir == one.state.path
