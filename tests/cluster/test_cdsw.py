"""The whole of a CDSW moves into a workspace like a CML's, in the cluster, with little more told than the namespace.

All stories happen to one workspace and one CDSW. What is refused and what is exported comes first, for it changes
nothing; then a migration from the CDSW itself, whose schema Job fails; then one from the archive, under an operator
that is killed at random, which arrives and is undone.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.cluster.cdsw import ARCHIVE, CLAIM, PLANTED, Cdsw
from tests.cluster.cdsw import PROJECTS as SOURCE
from tests.cluster.cml import PROJECTS, SCHEMA_JOB, SERVICES, Workspace
from tests.cluster.conftest import PRIVILEGED
from tests.cluster.killing import KILLS, SEED, killed_at_random, no_operator
from tests.cluster.kube import TIMEOUTS, Kube, Namespaces, describe, wait
from tests.cluster.node import Tools, load_postgres
from tests.cluster.servers import Server
from tests.cluster.test_commands import command
from tests.cluster.test_databases import json_stream
from tests.cluster.test_disruptions import HELPERS
from tests.cluster.witness import Witness, files_in
from tests.local.cdsw.end_state import check_end_state
from tests.planted import places_of

pytestmark = pytest.mark.timeout(600)

NODE = "pmig-tests"
NAME = "cdsw"

#: Entries of projects with all that has to arrive of them, but for their owners.
TREE = (
    "cd /claims/{0}/projects/0 && find . -mindepth 1 ! -type f -printf '%P %y %m %T@ %l\\n' | sort"
    " && find . -type f -printf '%P %y %m %T@ %n %s\\n' | sort && find . -type f | sort | xargs md5sum"
)
STRANGERS = f"cd /claims/{PROJECTS}; find projects ! -user 8536 -o ! -group 8536"
OF_THE_WORKSPACE = (
    f"cd /claims/{PROJECTS}; find scratch addons cdn output | sort | xargs stat -c '%n %F %a %u:%g'; cat */theirs"
)

#: What comes before a statement that fails stays: psql does not take it back, and neither would a Job.
FAILING_SCHEMA = """
ALTER TABLE public.projects ADD COLUMN half_way text DEFAULT 'half way';
SELECT 1 / (count(*) - count(*)) AS upgrade FROM public.projects;
"""


@dataclass(frozen=True)
class Site:
    kube: Kube
    cdsw: Cdsw
    workspace: Workspace

    def document(self, name: str = NAME, source: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
        """All that is to be found is left to be found. The feature flags as the guide has them."""
        cdsw = {
            "source": source or self.cdsw.archive(),
            "target": {"namespace": self.kube.namespace},
            "administrator": {"username": "cmladmin"},
            "featureFlags": "Source",
        }
        return {
            "apiVersion": "migration.mlops.dev/v1alpha1",
            "kind": "ProjectMigration",
            "metadata": {"name": name},
            "spec": {
                "cdsw": {**cdsw, **spec.pop("cdsw", {})},
                "workspace": {"claimName": "work"},
                "backup": {"claimName": "backup"},
                "timeouts": TIMEOUTS,
                **spec,
            },
        }

    def forget(self, name: str = NAME) -> None:
        self.kube.delete("pmig", name)
        wait(lambda: self.kube.get("pmig", name) is None, f"migration {name} to be gone", 60)


@pytest.fixture(scope="module")
def site(cluster: Tools, operator: Kube, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    load_postgres(NODE)
    namespaces = Namespaces(cluster)
    servers = namespaces.make("cdsw-servers")
    kube = namespaces.make("mlx", **{PRIVILEGED: "true"})
    kube.claims("work", "backup")
    server = Server(servers, "cdsw", 15)
    server.make()
    workspace = Workspace(kube)
    workspace.make()
    server.serve()
    cdsw = Cdsw(kube, server)
    cdsw.make(tmp_path_factory.mktemp("cdsw"))
    workspace.serve()
    yield Site(kube, cdsw, workspace)
    for name in namespaces.made:
        kube.delete("namespace", name)


@dataclass(frozen=True)
class Held:
    """What the workspace held before anything happened to it."""

    all: dict[str, list[str]]
    theirs: str
    """Files that are no projects."""
    job: dict[str, Any]


@pytest.fixture(scope="module")
def held(site: Site) -> Held:
    theirs = site.kube.run("look-theirs", OF_THE_WORKSPACE, PROJECTS)
    return Held(site.workspace.held(), theirs, site.workspace.job())


def test_every_service_of_the_workspace_holds_its_session_from_its_own_pod(site: Site) -> None:
    pods = {pod["status"]["podIP"]: pod["metadata"]["labels"]["app"] for pod in site.kube.list("pods", "app")}
    sessions = site.workspace.clients()
    assert len(sessions) == sum(SERVICES.values())
    assert all(pods[address] == name for name, address in sessions)
    assert site.workspace.job()["status"]["succeeded"] == 1


# --- what is refused, and changes nothing


def refused(site: Site, **spec: Any) -> dict[str, Any]:
    """The status of a migration that fails before it has touched anything."""
    before = site.workspace.generations()
    site.kube.create(site.document("refused", **spec))
    status = site.kube.ended("refused")
    site.forget("refused")
    assert status["phase"] == "Failed", describe(status)
    assert "firstWriteAt" not in status
    assert not any(workload["replicas"] == 0 for workload in status.get("workloads", ()))
    assert site.workspace.generations() == before, "nothing was scaled"
    return status


def test_projects_and_an_unknown_administrator_are_found_before_anything_is_scaled(site: Site, held: Held) -> None:
    workspace = site.workspace
    workspace.sql("INSERT INTO projects (id, user_id, name, slug) VALUES (900, 1, 'theirs', 'theirs')")
    site.kube.run("make-project", f"mkdir -p /claims/{PROJECTS}/projects/0/900", PROJECTS)
    try:
        status = refused(site, cdsw={"administrator": {"username": "nobody"}})
    finally:
        workspace.sql("DELETE FROM projects")
        site.kube.run("remove-project", f"cd /claims/{PROJECTS}/projects; rmdir 0/900 0", PROJECTS)
    for told in ("nobody", "projects/0", "1 project"):
        assert told in status["failure"], told
    assert workspace.held() == held.all


def test_two_jobs_that_may_be_the_schema_s_or_none_are_found_before_anything_is_scaled(site: Site) -> None:
    other = site.workspace.another_schema_job()
    status = refused(site)
    assert status["failureReason"] == "JobNotFound", describe(status)
    assert other in status["failure"]
    assert SCHEMA_JOB in status["failure"]
    for name in (other, SCHEMA_JOB):
        site.kube.delete("job", name)
        wait(lambda name=name: site.kube.get("job", name) is None, f"Job {name} to be gone", 30)
    try:
        status = refused(site)
    finally:
        site.workspace.schema_job()
    assert status["failureReason"] == "JobNotFound", describe(status)


# --- an archive is made


def test_a_cdsw_at_work_is_exported_into_an_archive_that_the_guide_s_script_takes(site: Site) -> None:
    before = site.cdsw.held()
    target = {"archive": {"claimName": CLAIM, "subPath": "exported.tar.gz"}}
    document = site.document("export", site.cdsw.live(), cdsw={"target": target})
    for needless in ("administrator", "featureFlags"):
        del document["spec"]["cdsw"][needless]
    del document["spec"]["backup"]
    site.kube.create(document)
    status = site.kube.ended("export")
    site.forget("export")
    assert status["phase"] == "Succeeded", describe(status)
    assert site.cdsw.held() == before, "a CDSW is only read"
    script = (
        f"set -e; cd /claims/{CLAIM}; ls; tar -tf exported.tar.gz --exclude='*/*' | sort;"
        " tar -tf exported.tar.gz | sort; mkdir /tmp/out; tar -xf exported.tar.gz -C /tmp/out;"
        " tail -n 5 /tmp/out/db.sql;"
        f" grep -cE '{'|'.join(PLANTED)}' /tmp/out/db.sql || true"
    )
    told = site.kube.run("look-archive", script, CLAIM).split("\n")
    assert told[:4] == [ARCHIVE, "exported.tar.gz", "db.sql", "projects/"]
    assert "projects/projects/0/10/a.py" in told
    assert not any("scratch/tmp" in name for name in told)
    assert any("PostgreSQL database dump complete" in line for line in told)
    assert told[-2] == "0", "rows of persons' credentials are not in it"


# --- the schema Job fails


def workloads_are_back(site: Site, status: dict[str, Any]) -> None:
    """Every service that was seen is at its count again, and holds its session."""
    assert {workload["name"] for workload in status["workloads"]} == set(SERVICES)
    site.workspace.serve()
    assert site.workspace.replicas() == {**SERVICES, "db": 1}
    for name in SERVICES:
        annotations = (site.kube.get("deployment", name) or {})["metadata"].get("annotations", {})
        assert "migration.mlops.dev/quiesced-by" not in annotations, name


def nothing_of_ours_is_left(site: Site, held: Held) -> None:
    wait(lambda: not site.kube.helpers(), "helpers to be gone", 60)
    wait(lambda: not site.kube.list("pods", HELPERS), "helper pods to be gone", 60)
    assert site.kube.list("leases") == []
    assert [found["metadata"]["name"] for found in site.kube.list("jobs")] == [SCHEMA_JOB]
    found = site.workspace.job()
    for part in ("generation", "labels"):
        assert found["metadata"].get(part) == held.job["metadata"].get(part), part
    assert found["spec"]["template"]["spec"] == held.job["spec"]["template"]["spec"]
    assert found["status"]["succeeded"] == 1


def as_it_was(site: Site, held: Held, status: dict[str, Any]) -> None:
    workloads_are_back(site, status)
    assert site.workspace.held() == held.all
    nothing_of_ours_is_left(site, held)


def test_a_schema_job_that_fails_leaves_the_workspace_as_it_was(site: Site, held: Held) -> None:
    kube, workspace = site.kube, site.workspace
    schema, before = workspace.schema(), site.cdsw.held()
    workspace.set_schema(FAILING_SCHEMA)
    try:
        kube.create(site.document(source=site.cdsw.live()))
        status = kube.ended(NAME, timeout=240)
    finally:
        workspace.set_schema(schema)
    assert (status["phase"], status["failureReason"]) == ("Failed", "JobFailed"), describe(status)
    assert status["rolledBackAt"]
    assert "division by zero" in status["failure"], "the Job's own words"
    assert site.cdsw.held() == before, "a CDSW is only read"
    as_it_was(site, held, status)
    site.forget()


# --- an archive arrives, and the operator is killed on the way; then on the way back


@dataclass(frozen=True)
class Moved:
    status: dict[str, Any]
    kills: int
    seen: Witness
    left: list[tuple[str, bytes]]
    report: str


@pytest.fixture(scope="module")
def moved(cluster: Tools, site: Site, operator: Kube, held: Held, tmp_path_factory: pytest.TempPathFactory) -> Moved:
    print(f"KILL_SEED={SEED}")
    report = tmp_path_factory.mktemp("report") / "report.html"
    with no_operator(operator), Witness(site.kube, tmp_path_factory.mktemp("seen")) as seen:
        site.kube.create(site.document())
        kills = killed_at_random(cluster, site.kube, NAME, random.Random(SEED))
    status = site.kube.status(NAME)
    assert status["phase"] == "Succeeded", describe(status)
    done = command(site.kube, "report", NAME, "--output", str(report))
    assert done.returncode == 0, done.stderr
    left = list(files_in(site.kube, "work", "backup", PROJECTS))
    return Moved(status, kills, seen, left, report.read_text())


def test_an_archive_arrives_in_the_workspace_although_the_operator_is_killed_at_random(
    site: Site, held: Held, moved: Moved
) -> None:
    assert moved.kills >= KILLS // 2
    check_end_state(site.workspace)
    assert site.workspace.value("SELECT version FROM schema_migrations") == 99, "the Job's own doing"
    looks = [site.kube.run("look-tree", TREE.format(claim), claim) for claim in (SOURCE, PROJECTS)]
    assert looks[0] == looks[1]
    assert site.kube.run("look-owners", STRANGERS, PROJECTS) == ""
    assert site.kube.run("look-theirs", OF_THE_WORKSPACE, PROJECTS) == held.theirs


def test_every_service_is_back_and_the_schema_s_job_is_the_installer_s_own(
    site: Site, held: Held, moved: Moved
) -> None:
    workloads_are_back(site, moved.status)
    nothing_of_ours_is_left(site, held)
    run = {job["metadata"]["name"] for job in json_stream(moved.seen.watched("jobs"))} - {SCHEMA_JOB}
    assert any(name.startswith("upgrade-") for name in run), "a copy of it was run"


def test_the_report_has_every_check_of_the_end_state(moved: Moved) -> None:
    for check in ("every job is paused", "everything has an owner of the workspace", "sequences are ahead"):
        assert check in moved.report, check


def test_the_password_is_in_no_object_log_status_report_or_file(site: Site, operator: Kube, moved: Moved) -> None:
    for step in ("preflight-cdsw", "back-up-cdsw", "copy-cdsw", "adapt-cdsw", "verify-cdsw"):
        assert any(name.startswith(step) and said for name, said in moved.seen.logs.items()), f"{step} has said nothing"
    pod = operator.list("pods", "app.kubernetes.io/name=project-migration-operator")[0]["metadata"]["name"]
    texts = [
        *moved.seen.texts(),
        *moved.left,
        ("report", moved.report.encode()),
        ("the operator's log", operator.kubectl("logs", pod).encode()),
        ("the status", json.dumps(moved.status).encode()),
    ]
    assert places_of([*site.workspace.planted, *site.cdsw.server.planted(), *PLANTED], texts) == []


def test_an_undo_gives_the_workspace_back_as_it_was_although_the_operator_is_killed_at_random(
    cluster: Tools, site: Site, operator: Kube, held: Held, moved: Moved
) -> None:
    def begun() -> None:
        wait(lambda: site.kube.status(NAME)["phase"] != "Succeeded", "the undo to begin", 30, every=0.1)

    with no_operator(operator):
        site.kube.patch("pmig", NAME, {"spec": {"undo": True}})
        kills = killed_at_random(cluster, site.kube, NAME, random.Random(SEED), begun)
    status = site.kube.status(NAME)
    assert kills >= KILLS // 2
    assert status["phase"] == "Undone", describe(status)
    as_it_was(site, held, status)
