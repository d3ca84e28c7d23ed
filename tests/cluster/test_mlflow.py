"""A tracking server with its PostgreSQL database and its claim becomes part of another one, in the cluster.

Both are MLflow's real server in pods, from an image made for that (``node/mlflow``), so that Services, probes, claims
and what a Deployment does when it comes back are those of an installation; a server on the machine would have spared
the image, and shown none of it. The stories follow each other on the same two installations: a migration that is
cancelled in its copy and one that arrives, both under an operator that is killed at random, and then what the servers
say of it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from project_migration.model.mlflow import ARTIFACTS, TRACKING
from tests.cluster.conftest import NODE, PRIVILEGED
from tests.cluster.killing import KILLS, SEED, killed_at_random, no_operator
from tests.cluster.kube import TIMEOUTS, Kube, Namespaces, describe, wait
from tests.cluster.node import Tools, load_mlflow
from tests.cluster.servers import Server
from tests.cluster.test_commands import command
from tests.cluster.test_databases import units_of
from tests.cluster.test_disruptions import HELPERS, helper_pod
from tests.cluster.tracking import Tracking

pytestmark = pytest.mark.timeout(600)

BEFORE, AFTER = "before", "after"

#: Where what comes has its files, in the claim of the server that gets it.
MIGRATED = "migrated"
EXPERIMENTS, RUNS = 3, 5
FILES = (
    "cd /claims/{0}; find . -type f | sort | xargs -r stat -c '%n %a %u:%g %s'; find . -type f | xargs -r cat | md5sum"
)


@dataclass(frozen=True)
class Site:
    """Two installations at work, and what their clients saw before anything happened."""

    kube: Kube
    before: Tracking
    after: Tracking
    seen_before: dict[str, Any]
    seen_after: dict[str, Any]

    def held(self) -> dict[str, list[str]]:
        """All that the two databases and claims hold, in lines. Without definitions: once a constraint with a list of
        words was restored, PostgreSQL tells another text that means the same."""
        both = (self.before, self.after)
        found = {f"rows {one.name}": one.database.content(one.name, "--data-only") for one in both}
        found |= {f"files {name}": self.kube.run(f"look-{name}", FILES.format(name), name) for name in (BEFORE, AFTER)}
        return {what: text.splitlines() for what, text in found.items()}

    def document(self, name: str = TRACKING, **spec: Any) -> dict[str, Any]:
        source = {"kind": "Deployment", "name": BEFORE, "side": "Source", "afterSuccess": "StayDown"}
        workloads = [source, {"kind": "Deployment", "name": AFTER, "side": "Target"}]
        sides = {"source": self.before.side(verified=True), "target": self.after.side(sub_path=MIGRATED)}
        sides["target"]["trackingUri"] = self.after.address  # so that it is asked for what arrived, once it is back
        return {
            "apiVersion": "migration.mlops.dev/v1alpha1",
            "kind": "ProjectMigration",
            "metadata": {"name": name},
            "spec": {
                "mlflow": {"via": "Database", **sides},
                "workspace": {"claimName": "work"},
                "backup": {"claimName": "backup"},
                "quiesce": {"workloads": workloads},
                "transfer": {"bandwidth": "6Mi"},
                "timeouts": TIMEOUTS,
                **spec,
            },
        }


@pytest.fixture(scope="module")
def site(cluster: Tools, operator: Kube) -> Iterator[Site]:
    load_mlflow(NODE)
    namespaces = Namespaces(cluster)
    servers = namespaces.make("tracking-servers")
    kube = namespaces.make("tracking", **{PRIVILEGED: "true"})
    kube.claims(BEFORE, AFTER, "work", "backup")
    installed = (
        Tracking(kube, BEFORE, Server(servers, BEFORE, 15, tls=True)),
        Tracking(kube, AFTER, Server(servers, AFTER, 15)),
    )
    for one in installed:
        one.database.make()
    for one in installed:
        one.database.serve()
        one.make()
    for one in installed:
        one.serve()
    before, after = installed
    before.client("tracking_filled.py", "vision", str(EXPERIMENTS), str(RUNS), "8000000")
    after.client("tracking_filled.py", "theirs", "1", "2", "40")
    yield Site(kube, before, after, before.client("tracking_seen.py"), after.client("tracking_seen.py"))
    for name in namespaces.made:
        kube.delete("namespace", name)


# --- what uses the claims


def test_a_server_that_is_not_to_rest_is_found_by_its_claim_and_by_its_database(site: Site) -> None:
    site.kube.create(site.document("unlisted", quiesce={"workloads": []}))
    status = site.kube.ended("unlisted")
    site.kube.delete("pmig", "unlisted")
    assert (status["phase"], status["failureReason"]) == ("Failed", "ClaimInUse"), describe(status)
    for name in (BEFORE, AFTER):
        assert f"claim {name} is mounted by pod" in status["failure"]
        assert f"of Deployment {name}" in status["failure"]
        known = f"Deployment {name} names {name}.tracking-servers.svc, where the"
        assert any(warning.startswith(known) for warning in status["warnings"]), "its words tell of it too"
    assert "firstWriteAt" not in status


# --- the operator is killed on the way back


@dataclass(frozen=True)
class Outcome:
    status: dict[str, Any]
    kills: int
    held_before: dict[str, list[str]]
    held: dict[str, list[str]]
    replicas: tuple[int, int]


def replicas(site: Site) -> tuple[int, int]:
    return site.kube.replicas("deployment", BEFORE), site.kube.replicas("deployment", AFTER)


@pytest.fixture(scope="module")
def cancelled(cluster: Tools, site: Site, operator: Kube) -> Outcome:
    print(f"KILL_SEED={SEED}")
    before = site.held()

    def rows_are_there() -> bool:
        copied = [unit["state"] for unit in units_of(site.kube.status(TRACKING), "copy") if unit["name"] == TRACKING]
        return copied == ["Succeeded"]

    def cancelled_in_the_copy() -> None:
        helper_pod(site.kube, "copy", timeout=120)
        wait(rows_are_there, "the rows to arrive", 60, every=0.1)
        site.kube.patch("pmig", TRACKING, {"spec": {"cancel": True}})

    with no_operator(operator):
        site.kube.create(site.document(transfer={"bandwidth": "2Mi"}))
        kills = killed_at_random(cluster, site.kube, TRACKING, random.Random(SEED), cancelled_in_the_copy)
    status = site.kube.status(TRACKING)
    scaled = replicas(site)
    site.after.serve()
    site.before.serve()
    outcome = Outcome(status, kills, before, site.held(), scaled)
    forget(site)
    return outcome


def forget(site: Site) -> None:
    site.kube.delete("pmig", TRACKING)
    wait(lambda: site.kube.get("pmig", TRACKING) is None, "the migration to be gone", 60)


def test_rows_and_files_are_as_before_although_the_operator_is_killed_at_random_in_the_rollback(
    site: Site, cancelled: Outcome
) -> None:
    assert cancelled.kills >= KILLS // 2
    status = cancelled.status
    assert (status["phase"], status.get("firstWriteAt")) == ("Cancelled", None), describe(status)
    assert status["rolledBackAt"]
    for what, before in cancelled.held_before.items():
        assert cancelled.held[what] == before, what
    assert cancelled.replicas == (1, 1)
    assert site.after.client("tracking_seen.py") == site.seen_after


# --- the operator is killed on the way


@dataclass(frozen=True)
class Moved:
    outcome: Outcome
    seen: dict[str, Any]


@pytest.fixture(scope="module")
def moved(cluster: Tools, site: Site, operator: Kube, cancelled: Outcome) -> Moved:
    before = site.held()
    with no_operator(operator):
        site.kube.create(site.document())
        kills = killed_at_random(cluster, site.kube, TRACKING, random.Random(SEED))
    status = site.kube.status(TRACKING)
    assert status["phase"] == "Succeeded", describe(status)
    scaled = replicas(site)
    site.after.serve()
    return Moved(Outcome(status, kills, before, site.held(), scaled), site.after.client("tracking_seen.py"))


def without_places(seen: dict[str, Any]) -> dict[str, Any]:
    """Experiments without what a server decides: numbers, ids and addresses."""
    runs = {name: [{**run, "id": "", "address": ""} for run in one["runs"]] for name, one in seen.items()}
    return {name: {"tags": one["tags"], "runs": runs[name]} for name, one in seen.items()}


def test_everything_is_found_in_the_server_although_the_operator_is_killed_at_random(site: Site, moved: Moved) -> None:
    assert moved.outcome.kills >= KILLS // 2
    for what in (f"rows {BEFORE}", f"files {BEFORE}"):
        assert moved.outcome.held[what] == moved.outcome.held_before[what], "the source is only read"
    ours, theirs = site.seen_before["experiments"], site.seen_after["experiments"]
    there = moved.seen["experiments"]
    assert set(there) == set(ours) | set(theirs)
    assert without_places({name: there[name] for name in ours}) == without_places(ours)
    for name in set(ours) - {"Default"}:
        assert [run["id"] for run in there[name]["runs"]] == [run["id"] for run in ours[name]["runs"]]
        assert len(there[name]["runs"]) == RUNS
        assert all(run["files"] for run in there[name]["runs"])
    assert moved.seen["models"]["theirs-detector"] == site.seen_after["models"]["theirs-detector"]
    assert {**there["theirs/0"]} == theirs["theirs/0"], "the target's own is as it was"


def test_every_column_with_an_address_names_the_new_place(site: Site, moved: Moved) -> None:
    there = moved.seen["experiments"]
    numbers = {name: one["place"][0] for name, one in there.items()}
    assert numbers["vision/0"] != site.seen_before["experiments"]["vision/0"]["place"][0], "the number was taken"
    root = f"mlflow-artifacts:/{MIGRATED}"
    addresses = {}
    for name in site.seen_before["experiments"].keys() - {"Default"}:
        assert there[name]["place"][1] == f"{root}/{numbers[name]}"
        addresses |= {run["id"]: f"{root}/{numbers[name]}/{run['id']}/artifacts" for run in there[name]["runs"]}
        assert all(run["address"] == addresses[run["id"]] for run in there[name]["runs"])
    versions = moved.seen["models"]["vision-detector"]["versions"]
    assert len(versions) == EXPERIMENTS * RUNS
    assert all(source == f"{addresses[run]}/notes" for _, source, run, _ in versions)
    assert moved.seen["models"]["vision-detector"]["aliases"] == {"best": "1"}


def test_the_target_s_deployment_is_back_at_its_count_and_the_source_s_rests(site: Site, moved: Moved) -> None:
    assert moved.outcome.replicas == (0, 1)
    wait(lambda: not site.kube.list("pods", f"app={BEFORE}"), "no pod of the source's server", 30)
    wait(lambda: not site.kube.list("pods", HELPERS), "helper pods to be gone", 60)
    assert site.kube.list("leases") == []
    left = "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('_project_migration')"
    assert site.after.rows(left) == [["project_migration_arrived"]]
    assert site.before.rows("SELECT count(*) FROM pg_namespace WHERE nspname = '_project_migration'") == [["0"]]


def test_a_report_is_compared_with_the_servers_of_today(
    site: Site, moved: Moved, tmp_path_factory: pytest.TempPathFactory
) -> None:
    report = tmp_path_factory.mktemp("report") / "report.html"
    assert command(site.kube, "report", TRACKING, "--output", str(report)).returncode == 0
    done = command(site.kube, "verify", str(report))
    assert done.returncode == 0, done.stdout + done.stderr
    run = moved.seen["experiments"]["vision/0"]["runs"][0]["id"]
    site.after.rows(f"UPDATE params SET value = 'theirs' WHERE run_uuid = '{run}' AND key = 'lr'")
    done = command(site.kube, "verify", str(report))
    site.after.rows(f"UPDATE params SET value = '0.1' WHERE run_uuid = '{run}' AND key = 'lr'")
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{TRACKING}: different: params {run}" in done.stdout
    assert f"{ARTIFACTS}: different" not in done.stdout


def test_the_document_applied_to_a_new_object_changes_nothing(site: Site, moved: Moved) -> None:
    forget(site)
    site.kube.create(site.document())
    status = site.kube.ended(TRACKING)
    assert status["phase"] == "AlreadyMigrated", describe(status)
    assert replicas(site) == (0, 1)
    assert site.after.client("tracking_seen.py") == moved.seen


# --- from address to address


def test_two_servers_at_work_are_moved_between_by_their_services(site: Site, moved: Moved) -> None:
    site.before.scale(1)
    site.before.serve()
    chosen = {
        "via": "Api",
        "source": {"trackingUri": site.before.address},
        "target": {"trackingUri": site.after.address},
        "select": {"experiments": {"include": ["vision/0"]}, "models": {"include": ["vision-*"], "versions": "1"}},
        "rename": {"experiments": {"vision/0": "by address"}, "models": {"vision-detector": "by-address"}},
    }
    document = site.document("addresses", mlflow=chosen, quiesce={"workloads": []}, transfer={"workers": 4})
    del document["spec"]["backup"]
    site.kube.create(document)
    status = site.kube.ended("addresses")
    assert status["phase"] == "Succeeded", describe(status)
    assert replicas(site) == (1, 1)
    seen = site.after.client("tracking_seen.py")
    ours = without_places(site.seen_before["experiments"])["vision/0"]
    assert without_places(seen["experiments"])["by address"] == ours
    assert [version[0] for version in seen["models"]["by-address"]["versions"]] == [1]
    others = {name: one for name, one in seen["experiments"].items() if name != "by address"}
    assert others == moved.seen["experiments"], "what was there is as it was"
