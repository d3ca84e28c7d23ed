"""A backup goes when it has been kept for as long as the document says, and never while a target may need it."""

from __future__ import annotations

import pytest

from project_migration.backends.fake import Behaviour, FakeBackend, FakeCluster
from project_migration.engine.names import Key
from project_migration.model.labels import EXPIRE, RETRY, ROLLBACK
from project_migration.model.status import Status
from project_migration.reconcile import one_pass

from .surroundings import PACE, STORE, a_document, assert_workloads_are_back, run
from .test_crashes import Mortal, live_until_death
from .test_flow import annotated, changed, events
from .test_keeping import in_use

HOUR = {"backup": {"claimName": "backup", "keepFor": "1h"}}
FOR_EVER = {"backup": {"claimName": "backup"}}


def upkeep(cluster: FakeCluster, key: Key, seconds: int = 120, step: float = 1.0) -> Status:
    """The clock's own passes over an ended migration."""
    for _ in range(int(seconds / step)):
        cluster.tick(step)
        for _ in range(10):
            again_in = one_pass(FakeBackend(cluster), key, pace=PACE, now=lambda: cluster.now)
            if again_in is None or again_in > 0:
                break
    return cluster.migrations[key].status


def kept(spec: dict[str, object] = HOUR) -> tuple[FakeCluster, Key]:
    cluster = in_use()
    key = cluster.add(a_document(**spec))
    assert run(cluster, key).phase == "Succeeded"
    assert cluster.backups == {"claim/backup/vision-00000001/home"}
    return cluster, key


def ready_message(status: Status) -> str:
    return next(condition.message for condition in status.conditions if condition.type == "Ready")


def test_it_is_kept_until_the_moment_that_conditions_and_status_name() -> None:
    cluster, key = kept()
    status = upkeep(cluster, key, 3000, 30)
    assert status.backup is not None
    assert status.finished_at is not None
    assert status.backup.kept_until == status.finished_at.replace("T00:", "T01:")
    assert f"the backup is kept until {status.backup.kept_until}" in ready_message(status)
    assert cluster.backups


def test_it_goes_when_its_time_has_come_and_the_end_stands() -> None:
    cluster, key = kept()
    before = cluster.migrations[key].status
    cluster.tick(3600)
    status = upkeep(cluster, key)
    assert not cluster.backups
    assert status.backup is not None
    assert status.backup.removed_at is not None
    assert (status.backup.kept_until, status.backup.removing) == (None, False)
    assert (status.phase, status.finished_at, status.result) == ("Succeeded", before.finished_at, before.result)
    assert f"the backup was removed at {status.backup.removed_at}" in ready_message(status)
    assert status.progress.percent == 100
    assert not cluster.helpers
    assert_workloads_are_back(cluster, status)
    once = len(cluster.events)
    upkeep(cluster, key, 7200, 60)
    assert len(cluster.events) == once, "it is removed once"


def test_it_stays_where_no_time_is_given() -> None:
    cluster, key = kept(FOR_EVER)
    cluster.tick(3600 * 24 * 400)
    status = upkeep(cluster, key)
    assert cluster.backups
    assert status.backup is not None
    assert (status.backup.kept_until, status.backup.removed_at) == (None, None)


def test_the_time_may_be_changed_after_the_end() -> None:
    cluster, key = kept()
    document = cluster.migrations[key].document
    assert document.spec.backup is not None
    changed(cluster, key, backup=document.spec.backup.model_copy(update={"keep_for": "48h"}))
    cluster.tick(3600 * 47)
    upkeep(cluster, key)
    assert cluster.backups
    changed(cluster, key, backup=document.spec.backup.model_copy(update={"keep_for": "2h"}))
    upkeep(cluster, key)
    assert not cluster.backups


def test_a_person_may_have_it_removed_at_once_and_for_each_request_once() -> None:
    cluster, key = kept(FOR_EVER)
    annotated(cluster, key, EXPIRE, "now")
    status = upkeep(cluster, key)
    assert not cluster.backups
    assert status.handled_expire == "now"
    annotated(cluster, key, EXPIRE, "again")
    status = upkeep(cluster, key)
    assert [refusal.request for refusal in status.refused] == ["expire again"]


def test_an_undo_after_it_is_refused_and_nothing_is_touched() -> None:
    cluster, key = kept()
    cluster.tick(3600)
    upkeep(cluster, key)
    cluster.events.clear()
    changed(cluster, key, undo=True)
    status = upkeep(cluster, key)
    assert status.phase == "Succeeded"
    refused = next(condition for condition in status.conditions if condition.type == "Refused")
    assert refused.reason == "BackupRemoved"
    assert "undo: the backup was removed at" in refused.message
    assert events(cluster).count("Refused") == 1, "once for a request"
    assert cluster.workloads[STORE].replicas == 2


def test_an_undo_that_comes_while_it_goes_is_refused() -> None:
    cluster, key = kept()
    cluster.tick(3600)
    one_pass(FakeBackend(cluster), key, pace=PACE, now=lambda: cluster.now)
    assert cluster.migrations[key].status.backup is not None
    changed(cluster, key, undo=True)
    status = upkeep(cluster, key)
    assert status.phase == "Succeeded"
    assert [refusal.reason for refusal in status.refused] == ["BackupRemoved"]
    assert not cluster.backups


def test_an_undo_in_time_puts_back_and_the_backup_goes_later() -> None:
    cluster, key = kept()
    changed(cluster, key, undo=True)
    status = run(cluster, key)
    assert (status.phase, status.first_write_at) == ("Undone", None)
    assert cluster.backups
    cluster.tick(3600)
    status = upkeep(cluster, key)
    assert status.phase == "Undone"
    assert not cluster.backups


def test_a_backup_of_a_half_written_target_is_never_removed() -> None:
    cluster = in_use()
    cluster.behaviours["verify", "data"] = [Behaviour.FAIL]
    key = cluster.add(a_document(onFailure="Halt", **HOUR))
    assert run(cluster, key).phase == "Failed"
    cluster.tick(3600 * 1000)
    annotated(cluster, key, EXPIRE, "now")
    status = upkeep(cluster, key)
    assert cluster.backups
    assert [refusal.request for refusal in status.refused] == ["expire now"]
    annotated(cluster, key, ROLLBACK, "now")
    status = run(cluster, key)
    assert (status.phase, status.first_write_at) == ("Failed", None)
    assert cluster.backups
    cluster.tick(3600)
    upkeep(cluster, key)
    assert not cluster.backups


def test_a_backup_of_a_half_undone_target_is_never_removed() -> None:
    cluster, key = kept()
    for step in ("roll_back", "prove_roll_back"):
        cluster.behaviours[step, "home"] = [Behaviour.FAIL]
    changed(cluster, key, undo=True)
    assert run(cluster, key).half_back
    cluster.tick(3600 * 1000)
    upkeep(cluster, key)
    assert cluster.backups


def test_after_a_rollback_by_itself_the_backup_goes_in_its_time() -> None:
    cluster = in_use()
    cluster.behaviours["verify", "data"] = [Behaviour.FAIL]
    key = cluster.add(a_document(**HOUR))
    assert run(cluster, key).rolled_back_at is not None
    cluster.tick(3600)
    status = upkeep(cluster, key)
    assert not cluster.backups
    annotated(cluster, key, RETRY, "now")
    status = run(cluster, key)
    assert status.phase == "Succeeded"
    assert status.backup is not None
    assert status.backup.removed_at is None
    assert cluster.backups, "the next round keeps what users have by then"


def test_a_removal_that_fails_is_a_warning_and_may_be_asked_for_again() -> None:
    cluster, key = kept()
    cluster.behaviours["expire", "backup"] = [Behaviour.FAIL]
    cluster.tick(3600)
    status = upkeep(cluster, key)
    assert status.phase == "Succeeded"
    assert any("the backup could not be removed" in words for words in status.warnings)
    assert cluster.backups
    upkeep(cluster, key, 7200, 60)
    assert cluster.backups, "a person has to look first"
    annotated(cluster, key, EXPIRE, "now")
    upkeep(cluster, key)
    assert not cluster.backups
    assert not cluster.helpers


def test_a_retry_waits_until_the_removal_is_over() -> None:
    cluster, key = kept(FOR_EVER)
    cluster.behaviours["expire", "backup"] = [Behaviour.SILENT]
    annotated(cluster, key, EXPIRE, "now")
    upkeep(cluster, key, 5)
    changed(cluster, key, force="again")
    status = upkeep(cluster, key, 10)
    assert status.itinerary is not None
    assert status.itinerary.round == 1
    cluster.behaviours.clear()
    assert run(cluster, key).phase == "Succeeded"


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_it_is_gone_wherever_the_operator_dies(before: bool) -> None:
    for dies_at in range(1, 60):
        cluster, key = kept()
        cluster.tick(3600)
        one_pass(FakeBackend(cluster), key, pace=PACE, now=lambda at=cluster: at.now)
        died = live_on(cluster, key, Mortal(cluster, dies_at, before=before))
        status = upkeep(cluster, key)
        assert not cluster.backups, f"died at {dies_at}"
        assert status.backup is not None
        assert status.backup.removed_at is not None
        assert not cluster.helpers
        if not died:
            return
    raise AssertionError("the removal never ended by itself")


def live_on(cluster: FakeCluster, key: Key, backend: Mortal) -> bool:
    """As live_until_death, of a migration that has ended."""
    for _ in range(20):
        if live_until_death(cluster, key, backend):
            return True
        cluster.tick()
    return False


def test_a_deletion_leaves_the_backup_to_the_person() -> None:
    cluster, key = kept()
    migration = cluster.migrations[key]
    migration.deleting_since = cluster.now
    migration.version += 1
    for _ in range(60):
        cluster.tick(60)
        one_pass(FakeBackend(cluster), key, pace=PACE, now=lambda: cluster.now)
        if key not in cluster.migrations:
            break
    assert key not in cluster.migrations
    assert cluster.backups
