"""What a target holds is put back by real helpers on real claims, whatever happens to the operator meanwhile."""

from __future__ import annotations

from tests.cluster.killing import MOST_KILLS, an_operator, kill, transition, without_operator
from tests.cluster.kube import Kube, a_migration, describe, wait
from tests.cluster.node import Tools
from tests.cluster.test_disruptions import SLOW, helper_pod

__all__ = ["without_operator"]

STORE = {"kind": "StatefulSet", "name": "store", "side": "Target"}
KEPT = {"backup": {"claimName": "backup"}, "quiesce": {"workloads": [STORE]}}

#: What users of the target have; some of it has a name that the source has too.
THEIRS = "cd /claims/new; mkdir -p a; echo theirs > one; echo more > a/b; ln -s one link; chown -R 7:8 ."
LOOK = "cd /claims/new; find . ! -name . | sort | xargs stat -c '%n %F %a %u:%g'; cat one a/b"


def in_use(kube: Kube, source: str = "echo 1 > /claims/old/one; echo 2 > /claims/old/two") -> str:
    """A target with a StatefulSet at work on it, and a claim for backups. What it looks like."""
    kube.claims("backup")
    kube.run("fill-old", source, "old")
    kube.run("fill-new", THEIRS, "new")
    before = kube.run("look-before", LOOK, "new")
    kube.deployment("store", 1, "new", kind="StatefulSet")
    kube.ready("statefulset", "store", 1)
    return before


def test_an_undo_gives_users_of_the_target_back_what_they_had(kube: Kube) -> None:
    before = in_use(kube)
    kube.create(a_migration(**KEPT))
    status = kube.ended("files")
    assert status["phase"] == "Succeeded", describe(status)
    assert status["backup"]["claim"] == "backup"
    assert kube.run("look-between", LOOK, "new") != before
    kube.patch("pmig", "files", {"spec": {"undo": True}})
    wait(lambda: kube.status("files")["phase"] != "Succeeded", "the undo to begin", 30)
    status = kube.ended("files")
    assert status["phase"] == "Undone", describe(status)
    assert kube.run("look-after", LOOK, "new") == before
    kube.ready("statefulset", "store", 1)
    assert kube.helpers() == []


def test_a_cancelled_copy_is_taken_back_although_the_operator_is_killed_after_every_saved_status(
    cluster: Tools, kube: Kube, without_operator: None
) -> None:
    before = in_use(kube, "head -c 20000000 /dev/urandom > /claims/old/large; echo 1 > /claims/old/one")
    kube.create(a_migration(transfer=SLOW, **KEPT))
    process = an_operator(cluster, kube)
    try:
        helper_pod(kube, "copy")
        kube.patch("pmig", "files", {"spec": {"cancel": True}})
        kills, seen = 0, transition(kube.status("files"))
        while kills < MOST_KILLS and not kube.status("files").get("finishedAt"):
            now = transition(kube.status("files"))
            if now != seen:
                seen, kills = now, kills + 1
                kill(process)
                process = an_operator(cluster, kube)
        assert kills >= 8, "the kills cover the whole way back"
        status = kube.ended("files")
    finally:
        kill(process)
    assert (status["phase"], status.get("firstWriteAt")) == ("Cancelled", None), describe(status)
    assert kube.run("look-after", LOOK, "new") == before
    kube.ready("statefulset", "store", 1)


def test_a_backup_claim_that_is_missing_is_named_before_anything_is_written(kube: Kube) -> None:
    kube.run("fill-old", "echo 1 > /claims/old/one", "old")
    kube.create(a_migration(backup={"claimName": "vault"}))
    status = kube.ended("files")
    assert (status["phase"], status.get("firstWriteAt")) == ("Failed", None)
    assert "backup: claim vault does not exist" in status["failure"]
