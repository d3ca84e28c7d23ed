from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from project_migration.backends.local.backend import LocalBackend
from project_migration.backends.local.files import write_whole
from project_migration.engine.names import Key
from project_migration.model.errors import Conflict, DocumentError, Gone
from project_migration.model.status import Status

Open = Callable[..., LocalBackend]


def written(backend: LocalBackend) -> None:
    migration = backend.load(backend.key)
    backend.save(migration, migration.status.model_copy(update={"first_write_at": "2026-01-02T03:04:05Z"}))


def test_a_new_process_finds_the_same_migration(open_backend: Open) -> None:
    first = open_backend()
    migration = first.load(first.key)
    saved = first.save(migration, Status(phase="Copying"))
    again = open_backend()
    assert again.load(again.key) == saved
    assert again.keys() == (Key("ml", "vision"),)
    assert saved.uid == migration.uid


def test_reopening_needs_neither_document_nor_bindings(open_backend: Open, tmp_path: Path) -> None:
    first = open_backend()
    again = LocalBackend.reopen(first.state.path, home=tmp_path / "home")
    assert again.load(again.key) == first.load(first.key)


def test_saving_from_an_old_view_is_a_conflict(open_backend: Open) -> None:
    one, other = open_backend(), open_backend()
    old = one.load(one.key)
    other.save(other.load(other.key), Status(phase="Copying"))
    with pytest.raises(Conflict):
        one.save(old, Status(phase="Locking"))
    assert one.load(one.key).status.phase == "Copying"


def test_a_wish_makes_every_earlier_view_old(open_backend: Open) -> None:
    backend = open_backend()
    old = backend.load(backend.key)
    backend.state.wish("cancel", annotations={"migration.mlops.dev/retry": "1"})
    with pytest.raises(Conflict):
        backend.save(old, Status())
    migration = backend.load(backend.key)
    assert migration.document is not None
    assert migration.document.spec.cancel
    assert migration.generation == old.generation + 1
    assert migration.annotations == {"migration.mlops.dev/retry": "1"}


def test_a_removed_directory_is_gone(open_backend: Open) -> None:
    backend = open_backend()
    migration = backend.load(backend.key)
    shutil.rmtree(backend.state.path)
    assert backend.keys() == ()
    for act in (
        lambda: backend.load(backend.key),
        lambda: backend.save(migration, Status()),
        lambda: backend.apply(migration, []),
    ):
        with pytest.raises(Gone):
            act()


def test_a_directory_made_anew_is_another_migration(open_backend: Open) -> None:
    backend = open_backend()
    migration = backend.load(backend.key)
    shutil.rmtree(backend.state.path)
    open_backend()
    with pytest.raises(Gone):
        backend.save(migration, Status())


def test_a_typo_can_be_mended_before_the_first_write(open_backend: Open, tmp_path: Path) -> None:
    before = open_backend()
    old = before.load(before.key)
    after = open_backend(target=tmp_path / "newer")
    new = after.load(after.key)
    assert (new.uid, new.generation) == (old.uid, old.generation + 1)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"target": Path("/elsewhere")}, "spec.volumes"),
        ({"ownership": {"mode": "Helper"}}, "spec.ownership"),
        ({"quiesce": {"discover": True}}, "spec.quiesce"),
        ({"mode": "Plan"}, "spec.mode"),
    ],
)
def test_after_the_first_write_what_decides_the_outcome_is_fixed(
    open_backend: Open, change: dict[str, Any], field: str
) -> None:
    written(open_backend())
    with pytest.raises(DocumentError) as caught:
        open_backend(**change)
    assert caught.value.problems[0].startswith(f"{field}: ")


def test_after_the_first_write_a_claim_stays_where_it_is(open_backend: Open) -> None:
    quiesce = {"workloads": [{"kind": "Deployment", "name": "web", "side": "Source"}]}
    written(open_backend("deployment/web=none", quiesce=quiesce))
    with pytest.raises(DocumentError, match="--bind deployment/web=systemd/web"):
        open_backend("deployment/web=systemd/web", quiesce=quiesce)


def test_pace_and_retries_may_change_at_any_time(open_backend: Open) -> None:
    backend = open_backend()
    written(backend)
    again = open_backend(retries=7, transfer={"workers": 9})
    migration = again.load(again.key)
    assert migration.document is not None
    assert migration.document.spec.retries == 7
    assert migration.generation == 2


def test_a_file_that_cannot_be_written_whole_stays_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "state.json"
    write_whole(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_whole(path, "new")
    assert path.read_text() == "old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["state.json"]
