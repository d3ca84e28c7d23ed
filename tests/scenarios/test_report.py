"""The report is written at every end that allows it, and holds none up; a check after the end changes nothing else."""

from __future__ import annotations

import gzip
import json
from base64 import b64decode
from dataclasses import replace
from typing import Any

import pytest

from project_migration.backends.fake import Behaviour, FakeBackend, FakeCluster, FakeHelper
from project_migration.engine.effects import Rights
from project_migration.engine.names import Key
from project_migration.model.labels import EXPIRE, VERIFY
from project_migration.model.status import CheckStatus, State, Status
from project_migration.platforms.volumes.platform import VolumesPlatform
from project_migration.reconcile import one_pass

from .surroundings import (
    PACE,
    STORE,
    a_cluster,
    a_document,
    assert_workloads_are_back,
    run,
    watch_invariants,
)
from .test_crashes import Death, Mortal, stop
from .test_databases import both_kinds
from .test_flow import annotated, changed, events

KEPT = {"backup": {"claimName": "backup"}}


def watched() -> FakeCluster:
    cluster = a_cluster()
    cluster.watcher = watch_invariants
    return cluster


class Kept:
    """What report helpers were handed, the last one of each file."""

    def __init__(self, cluster: FakeCluster) -> None:
        self.files: dict[str, str] = {}
        self.helper: FakeHelper | None = None
        before = cluster.watcher

        def watch(cluster: FakeCluster, what: str, thing: object) -> None:
            if before is not None:
                before(cluster, what, thing)
            if not isinstance(thing, FakeHelper) or what != "runs":
                return
            request = thing.spec.request
            if request.worker == "report":
                self.helper = thing
                self.files = {name: unpacked(text) for name, text in request.params["files"].items()}

        cluster.watcher = watch

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.files["report.json"])
        return found


def unpacked(text: str) -> str:
    return gzip.decompress(b64decode(text)).decode()


def test_a_report_is_in_the_workspace_before_a_migration_is_said_to_have_succeeded() -> None:
    cluster = watched()
    kept = Kept(cluster)
    status = run(cluster, cluster.add(a_document()))
    assert (status.phase, status.report, status.warnings) == ("Succeeded", "report.html", ())
    assert "ml/vision has arrived, and was proved equal to its source." in kept.files["report.html"]
    assert kept.data["end"] == "Succeeded"
    assert kept.data["digest"] == (status.result.digest if status.result else "")
    assert [unit["verified"]["digest"] for unit in kept.data["units"]] == ["sha256:data", "sha256:home"]
    assert not cluster.helpers


def test_its_helper_sees_nothing_but_the_workspace() -> None:
    cluster = watched()
    kept = Kept(cluster)
    run(cluster, cluster.add(a_document()))
    assert kept.helper is not None
    spec = kept.helper.spec
    assert (spec.mounts, spec.secrets, spec.network, spec.rights) == ((), (), False, Rights.WORKSPACE)
    assert spec.workspace is not None
    assert spec.workspace.claim_name == "work"


@pytest.mark.parametrize("way", ["failed", "halted", "cancelled", "undone"])
def test_every_other_end_has_its_report_too(way: str) -> None:
    cluster = watched()
    kept = Kept(cluster)
    if way in ("failed", "halted"):
        cluster.behaviours["verify", "data"] = [Behaviour.FAIL]
    spec = {"onFailure": "Halt"} if way == "halted" else KEPT
    key = cluster.add(a_document(**spec))
    if way == "cancelled":
        for _ in range(20):
            one_pass(FakeBackend(cluster), key, pace=PACE, now=lambda: cluster.now)
            cluster.tick()
        stop(cluster, key, "cancel")
    status = run(cluster, key)
    if way == "undone":
        changed(cluster, key, undo=True)
        status = run(cluster, key)
    ends = {"failed": "Failed", "halted": "Failed", "cancelled": "Cancelled", "undone": "Undone"}
    assert (status.phase, status.report) == (ends[way], "report.html")
    assert kept.data["end"] == ends[way]
    assert ("rolledBackAt" in kept.data) == (status.rolled_back_at is not None)
    assert_workloads_are_back(cluster, status)


def test_the_report_says_until_when_a_backup_is_kept() -> None:
    cluster = watched()
    cluster.facts["home"] = {"target": {"empty": False, "entries": 7}}
    kept = Kept(cluster)
    status = run(cluster, cluster.add(a_document(backup={"claimName": "backup", "keepFor": "1h"})))
    assert status.backup is not None
    assert status.backup.kept_until is not None
    assert kept.data["backup"]["keepFor"] == "1h"
    written = kept.data["backup"]["keptUntil"]
    assert written[:15] == status.backup.kept_until[:15], "as far as is known a moment before the end"
    assert f"until {written}" in kept.files["report.html"]


def test_a_check_and_the_removal_of_a_backup_do_not_hinder_each_other() -> None:
    cluster = watched()
    cluster.facts["home"] = {"target": {"empty": False, "entries": 7}}
    key = cluster.add(a_document(backup={"claimName": "backup", "keepFor": "1h"}))
    assert run(cluster, key).phase == "Succeeded"
    annotated(cluster, key, VERIFY, "1")
    annotated(cluster, key, EXPIRE, "1")
    assert checked(cluster, key).same is True
    backup = cluster.migrations[key].status.backup
    assert backup is not None
    assert backup.removed_at is not None


def test_what_fails_before_any_helper_ran_is_told_without_one() -> None:
    cluster = watched()
    del cluster.claims["claim/data-old"]
    del cluster.claims["claim/home-old"]
    kept = Kept(cluster)
    status = run(cluster, cluster.add(a_document()))
    assert (status.phase, status.report, kept.files, status.warnings) == ("Failed", "", {}, ())


@pytest.mark.parametrize(
    "behaviour", [Behaviour.FAIL, Behaviour.CRASH, Behaviour.NEVER_START, Behaviour.SILENT, Behaviour.LIE]
)
@pytest.mark.parametrize("step", ["report", "report_end"])
def test_a_report_that_cannot_be_written_is_a_warning_and_holds_nothing_up(behaviour: Behaviour, step: str) -> None:
    cluster = watched()
    cluster.behaviours[step, "report"] = [behaviour] * 5
    if step == "report_end":
        cluster.behaviours["copy", "data"] = [Behaviour.FAIL]
    began = cluster.now
    status = run(cluster, cluster.add(a_document()))
    assert status.phase == ("Succeeded" if step == "report" else "Failed")
    assert status.report == ""
    assert [words for words in status.warnings if "the report was not written" in words]
    assert (cluster.now - began).total_seconds() < 400
    assert not cluster.leases
    assert_workloads_are_back(cluster, status)


def test_no_helper_is_made_for_a_report_where_something_is_deleted_or_suspended() -> None:
    for way in ("namespace", "delete", "suspend"):
        cluster = watched()
        kept = Kept(cluster)
        cluster.behaviours["copy", "data"] = [Behaviour.SILENT]
        key = cluster.add(a_document(timeouts={"silence": "1h"}, onFailure="Halt"))
        for _ in range(25):
            one_pass(FakeBackend(cluster), key, pace=PACE, now=lambda: cluster.now)
            cluster.tick()
        if way == "suspend":
            changed(cluster, key, suspend=True)
            stop(cluster, key, "cancel")
        elif way == "namespace":
            cluster.namespace = replace(cluster.namespace, terminating=True)
            stop(cluster, key, "cancel")
        else:
            stop(cluster, key, "delete")
        run(cluster, key)
        assert kept.files == {}


def ended(**spec: object) -> tuple[FakeCluster, Key]:
    cluster = watched()
    key = cluster.add(a_document(**spec))
    assert run(cluster, key).phase == "Succeeded"
    return cluster, key


def checked(cluster: FakeCluster, key: Key, seconds: int = 200) -> CheckStatus:
    """Passes until the check that was asked for is over, and nothing is left of it."""
    for _ in range(seconds):
        for _ in range(20):
            again_in = one_pass(FakeBackend(cluster), key, pace=PACE, now=lambda: cluster.now)
            if again_in is None or again_in > 0:
                break
        status = cluster.migrations[key].status
        check = status.check
        if check is not None and check.state is not State.RUNNING and not cluster.helpers:
            return check
        cluster.tick()
    raise AssertionError(f"no answer: {cluster.migrations[key].status.check}")


def ready(status: Status) -> str:
    return next(c.status for c in status.conditions if c.type == "Ready")


def test_a_check_looks_at_the_target_alone_and_finds_what_was_proved() -> None:
    cluster, key = ended()
    annotated(cluster, key, VERIFY, "1")
    check = checked(cluster, key)
    assert (check.asked, check.same, check.differences) == ("1", True, 0)
    assert [unit.name for unit in check.units] == ["data", "home"]
    status = cluster.migrations[key].status
    assert (status.phase, ready(status), status.report) == ("Succeeded", "True", "report.html")
    assert events(cluster).count("Checked") == 1


def test_a_check_takes_no_lock_and_stops_nobody() -> None:
    cluster, key = ended()
    annotated(cluster, key, VERIFY, "1")
    before = {ref: workload.version for ref, workload in cluster.workloads.items()}
    for _ in range(10):
        one_pass(FakeBackend(cluster), key, pace=PACE, now=lambda: cluster.now)
        assert not cluster.leases
        status = cluster.migrations[key].status
        assert (status.phase, ready(status)) == ("Succeeded", "True"), "it stays so while it is looked at"
        cluster.tick()
    assert {ref: workload.version for ref, workload in cluster.workloads.items()} == before
    assert cluster.workloads[STORE].replicas == 2


def test_a_check_that_finds_differences_says_so_and_the_migration_stays_succeeded() -> None:
    cluster, key = ended()
    cluster.behaviours["check", "home"] = [Behaviour.DIFFERENT]
    annotated(cluster, key, VERIFY, "1")
    check = checked(cluster, key)
    assert (check.state, check.same, check.differences) == (State.SUCCEEDED, False, 2)
    assert check.message == "home: 2 different: a, b"
    status = cluster.migrations[key].status
    assert (status.phase, ready(status), status.failure) == ("Succeeded", "True", "")


def test_a_check_that_could_not_look_says_neither() -> None:
    cluster, key = ended(retries=0)
    cluster.behaviours["check", "home"] = [Behaviour.CRASH]
    annotated(cluster, key, VERIFY, "1")
    check = checked(cluster, key)
    assert (check.state, check.same) == (State.FAILED, None)
    assert "home: exit code 0, no record" in check.message


def test_what_cannot_be_looked_at_alone_makes_the_answer_no_answer_for_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster, key = ended()
    every = VolumesPlatform.checks
    monkeypatch.setattr(VolumesPlatform, "checks", lambda self, spec, digests: every(self, spec, digests)[:1])
    annotated(cluster, key, VERIFY, "1")
    check = checked(cluster, key)
    assert (check.state, check.same) == (State.FAILED, None)
    assert "home: this release cannot compare such a target" in check.message
    assert {unit.name: unit.state for unit in check.units} == {"data": State.SUCCEEDED, "home": State.FAILED}


def test_each_question_is_answered_once_by_helpers_of_its_own() -> None:
    cluster, key = ended()
    names: list[tuple[str, str]] = []

    def watch(cluster: FakeCluster, what: str, thing: object) -> None:
        watch_invariants(cluster, what, thing)
        if what == "runs" and isinstance(thing, FakeHelper):
            names.append((thing.spec.name, thing.spec.request.digest))

    cluster.watcher = watch
    for wish in ("1", "1", "2"):
        annotated(cluster, key, VERIFY, wish)
        assert checked(cluster, key).asked == wish
    assert len(names) == 4
    assert len(set(names)) == 4, "no record of an earlier look answers a later one"


def test_only_what_arrived_can_be_checked() -> None:
    cluster = watched()
    cluster.behaviours["verify", "data"] = [Behaviour.FAIL]
    key = cluster.add(a_document())
    assert run(cluster, key).phase == "Failed"
    annotated(cluster, key, VERIFY, "1")
    check = checked(cluster, key)
    assert (check.state, check.same) == (State.FAILED, None)
    assert "only a migration that succeeded" in check.message


def test_an_undo_goes_before_a_check_that_is_at_work() -> None:
    cluster, key = ended(**KEPT)
    cluster.behaviours["check", "data"] = [Behaviour.SILENT]
    annotated(cluster, key, VERIFY, "1")
    for _ in range(5):
        one_pass(FakeBackend(cluster), key, pace=PACE, now=lambda: cluster.now)
        cluster.tick()
    assert cluster.helpers
    changed(cluster, key, undo=True)
    status = run(cluster, key)
    assert status.phase == "Undone"
    assert status.check is not None
    assert (status.check.state, status.check.same) == (State.FAILED, None)
    assert_workloads_are_back(cluster, status)


def test_a_database_is_checked_with_its_target_s_secrets_only() -> None:
    cluster = watched()
    key = cluster.add(both_kinds())
    assert run(cluster, key).phase == "Succeeded"
    seen: list[FakeHelper] = []

    def watch(cluster: FakeCluster, what: str, thing: object) -> None:
        watch_invariants(cluster, what, thing)
        if what == "runs" and isinstance(thing, FakeHelper):
            seen.append(thing)

    cluster.watcher = watch
    annotated(cluster, key, VERIFY, "1")
    assert checked(cluster, key).same is True
    database = next(helper.spec for helper in seen if helper.spec.request.worker == "postgres.check")
    assert {secret.root.split("-")[0] for secret in database.secrets} == {"target"}
    assert "source" not in database.request.params


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_a_check_survives_the_operator_s_death_at_every_deed(before: bool) -> None:
    deaths = 0
    for dies_at in range(1, 60):
        cluster, key = ended()
        cluster.behaviours["check", "home"] = [Behaviour.DIFFERENT]
        annotated(cluster, key, VERIFY, "1")
        backend, died = Mortal(cluster, dies_at, before=before), False
        for _ in range(40):
            try:
                one_pass(backend, key, pace=PACE, now=lambda: cluster.now)
            except Death:
                died = True
                break
            cluster.tick()
        cluster.tick()
        check = checked(cluster, key)
        assert (check.same, check.differences) == (False, 2), f"died at {dies_at}"
        assert cluster.migrations[key].status.phase == "Succeeded"
        if not died:
            break
        deaths += 1
    assert deaths > 8
