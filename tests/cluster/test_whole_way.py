"""The main job on a real node: claims are copied while their workloads rest, and the workloads come back."""

from __future__ import annotations

import json

from project_migration.engine.itinerary import MIGRATE
from tests.cluster.kube import Kube, Namespaces, a_migration, a_pair, describe, wait

FILL = """
set -e; cd /claims/old
mkdir -p projects/a/empty projects/b scratch; for i in $(seq 300); do echo "file $i" > projects/a/f$i; done
head -c 5000000 /dev/urandom > projects/b/large; ln -s ../a/f1 projects/b/link; ln projects/a/f2 projects/b/hard
printf x > "projects/.dot"; printf x > "$(printf 'projects/new\\nline')"; chmod 6755 projects/a/f3;
touch -d @1234567890 projects/a/f4; truncate -s 100M projects/b/sparse; echo no > scratch/x; chown -R 1234:4321 projects
"""

#: One line an object: type, mode, owner, time, size, links, name, target; then the content.
LOOK = r"""
cd /claims/%s; find . -mindepth 1 -not -path './scratch*' -not -path './.project-migration*' -not -name lost+found \
  -printf '%%y %%m %%U:%%G %%T@ %%s %%n %%P %%l\n' | sed 's/^d \(.*\) [0-9]* [0-9]* /d \1 /' | sort
find . -type f -not -path './scratch*' -not -path './.project-migration*' -print0 | sort -z | xargs -0 sha256sum
"""

WORKLOADS = [
    {"kind": "Deployment", "name": "web", "side": "Source"},
    {"kind": "StatefulSet", "name": "store", "side": "Target"},
    {"kind": "CronJob", "name": "nightly", "side": "Source"},
]


def test_claims_move_and_workloads_come_back(kube: Kube) -> None:
    kube.claims("old2", "new2")
    kube.run("fill", FILL, "old")
    kube.run("fill2", "echo two > /claims/old2/two; chown -R 7:8 /claims/old2", "old2")
    kube.deployment("web", 3, "old", "old2")
    kube.deployment("store", 1, "new", kind="StatefulSet")
    kube.cron_job("nightly", "old")
    kube.ready("deployment", "web", 3)
    kube.ready("statefulset", "store", 1)
    pairs = (a_pair(exclude=["/scratch/"]), a_pair("more", "old2", "new2"))
    kube.create(a_migration("files", *pairs, quiesce={"workloads": WORKLOADS}))
    status = kube.ended("files")
    assert status["phase"] == "Succeeded", describe(status)
    kube.ready("deployment", "web", 3)
    kube.ready("statefulset", "store", 1)
    assert (kube.get("cronjob", "nightly") or {})["spec"].get("suspend", False) is False
    before = kube.run("before", LOOK % "old", "old").replace("projects", "projects")
    assert before == kube.run("after", LOOK % "new", "new")
    assert "1234:4321" in before
    assert kube.run("after2", "cd /claims/new2; stat -c %u:%g two; cat two; ls", "new2") == "7:8\ntwo\ntwo\n"
    assert kube.run("scratch", "ls /claims/new", "new") == "projects\n"
    assert kube.helpers() == []
    assert status["progress"]["percent"] == 100
    assert status["result"]["digest"].startswith("sha256:")
    conditions = {c["type"]: c["status"] for c in status["conditions"]}
    assert conditions == {"Ready": "True", "Reconciling": "False", "Stalled": "False"}


def test_owners_are_set_in_the_copy(kube: Kube) -> None:
    kube.run("fill", FILL, "old")
    kube.create(a_migration(ownership={"mode": "Set", "uid": 8536, "gid": 8536}))
    assert kube.ended("files")["phase"] == "Succeeded"
    owners = kube.run(
        "look", "find /claims/new -mindepth 1 -not -path '*/.project-migration*' -printf '%U:%G\\n' | sort -u", "new"
    )
    assert owners == "8536:8536\n"


def test_a_plan_says_what_would_move_and_changes_nothing(kube: Kube) -> None:
    kube.run("fill", FILL, "old")
    kube.deployment("web", 1, "old")
    kube.ready("deployment", "web", 1)
    before = (kube.get("deployment", "web") or {})["metadata"]["generation"]
    kube.create(a_migration(mode="Plan", quiesce={"workloads": WORKLOADS[:1]}))
    status = kube.ended("files")
    assert status["phase"] == "Planned", describe(status)
    (planned,) = status["plan"]
    assert planned["items"] > 300
    assert planned["bytes"] > 5_000_000
    assert kube.run("look", "ls -A /claims/new", "new") == ""
    assert (kube.get("deployment", "web") or {})["metadata"]["generation"] == before


def test_columns_events_and_metrics_tell_people_what_happens(kube: Kube, operator: Kube) -> None:
    kube.run("fill", "echo 1 > /claims/old/one", "old")
    kube.create(a_migration())
    status = kube.ended("files")
    head, row = kube.kubectl("get", "pmig", "files").splitlines()
    assert head.split() == ["NAME", "PHASE", "STEP", "PERCENT", "READY", "AGE"]
    steps = len(MIGRATE)
    assert row.split()[:5] == ["files", "Succeeded", f"{steps}/{steps}", "100", "True"]
    assert kube.kubectl("get", "pmig", "-o", "wide").splitlines()[0].split()[-4:] == ["BYTES", "RATE", "ETA", "MESSAGE"]
    events = kube.list("events")
    ours = [
        (e["reason"], e.get("message") or e.get("note"))
        for e in events
        if e["involvedObject"]["kind"] == "ProjectMigration"
    ]
    assert len(ours) == len(set(ours)), "one event a transition"
    assert sum(reason == "StepFinished" for reason, _ in ours) == len(status["steps"])
    pod = operator.list("pods", "app.kubernetes.io/name=project-migration-operator")[0]["metadata"]["name"]
    script = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8081/metrics').read().decode())"
    metrics = operator.kubectl("exec", pod, "--", "python", "-c", script)
    assert 'phase="Succeeded"' in metrics
    lines = [json.loads(line) for line in operator.kubectl("logs", pod, "--tail=200").splitlines()]
    uid = (kube.get("pmig", "files") or {})["metadata"]["uid"]
    assert any(uid in json.dumps(line) for line in lines)


def test_helpers_are_restricted_where_the_namespace_wants_that(namespaces: Namespaces) -> None:
    kube = namespaces.make("strict-helpers", **{"pod-security.kubernetes.io/enforce": "restricted"})
    kube.claims("old", "new", "work")
    kube.create(a_migration(ownership={"mode": "Helper"}))
    status = kube.ended("files")
    assert status["phase"] == "Succeeded", describe(status)


def test_keeping_owners_without_the_right_is_refused_before_anything_is_written(namespaces: Namespaces) -> None:
    kube = namespaces.make("no-privilege")
    kube.claims("old", "new", "work")
    kube.run("fill", "cd /claims/old; echo 1 > one; chown 7:8 one; chmod 777 /claims/*", "old", "new", "work")
    kube.create(a_migration())
    status = kube.ended("files")
    assert (status["phase"], status["failureReason"]) == ("Failed", "PrivilegeDenied"), describe(status)
    assert "firstWriteAt" not in status
    assert "privileged-helpers=true" in status["remedy"]


def test_an_ordinary_helper_owns_what_it_copies(namespaces: Namespaces) -> None:
    kube = namespaces.make("as-helper", **{"pod-security.kubernetes.io/warn": "restricted"})
    kube.claims("old", "new", "work")
    kube.run("fill", "cd /claims/old; echo 1 > one; chown 7:8 one; chmod 777 /claims/*", "old", "new", "work")
    kube.create(a_migration(ownership={"mode": "Helper", "uid": 8536, "gid": 8536}))
    status = kube.ended("files")
    assert status["phase"] == "Succeeded", describe(status)
    assert kube.run("look", "stat -c %u:%g /claims/new/one", "new") == "8536:8536\n"


def test_progress_is_numeric_and_never_falls(kube: Kube) -> None:
    kube.run("fill", "head -c 60000000 /dev/urandom > /claims/old/large", "old")
    kube.create(a_migration(transfer={"bandwidth": "10Mi"}))
    seen: list[int] = []

    def look() -> bool:
        status = kube.status("files")
        seen.append((status.get("progress") or {}).get("percent", 0))
        return bool(status.get("finishedAt"))

    wait(look, "the end", 90, every=0.5)
    assert seen == sorted(seen)
    assert len([percent for percent in set(seen) if 10 < percent < 70]) >= 2, seen
    assert kube.status("files")["phase"] == "Succeeded"
