"""A claim and its PostgreSQL database in one document, between real servers of two majors in the cluster."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from project_migration.model.labels import UNIT
from tests.cluster.conftest import NODE, PRIVILEGED, install
from tests.cluster.killing import KILLS, SEED, an_operator, kill, killed_at_random, without_operator
from tests.cluster.kube import Kube, Namespaces, a_migration, a_pair, describe, wait
from tests.cluster.node import Tools, load_postgres
from tests.cluster.node.place import chosen_by_environment
from tests.cluster.servers import DATABASE, Server, sellers
from tests.cluster.test_commands import command
from tests.cluster.test_disruptions import HELPERS, helper_pod
from tests.cluster.witness import Witness, files_in
from tests.planted import places_of

__all__ = ["without_operator"]

pytestmark = pytest.mark.timeout(600)

LEDGER = "ledger"

#: What users of the target have, of which the migration's own table has the name of one.
THEIRS = "CREATE TABLE precious AS SELECT n, 'theirs ' || n AS text FROM generate_series(1, 500) AS n;"
OURS = (
    "CREATE TABLE sale (id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT now());"
    "CREATE TABLE item AS SELECT n, md5(n::text) AS text FROM generate_series(1, 80000) AS n;"
    "CREATE INDEX ON item (text); CREATE VIEW newest AS SELECT * FROM item WHERE n > 79990"
)
FILES = "cd /claims/new; find . ! -name . | sort | xargs -r stat -c '%n %F %a %u:%g %s'"


@pytest.fixture(scope="module")
def images(cluster: Tools, operator: Kube) -> Iterator[str]:
    """The operator told of an image with the tools of 18; its own has those of 15."""
    load_postgres(NODE)
    image = cluster.operator_image_postgres_18
    install(cluster, f"helper.postgresImages.18={image}")
    yield image
    install(cluster)


@dataclass(frozen=True)
class Servers:
    old: Server
    new: Server

    @property
    def planted(self) -> list[str]:
        return [*self.old.planted(), *self.new.planted()]

    def secrets(self) -> list[dict[str, Any]]:
        return [*self.old.secrets(), *self.new.secrets()]

    def fill(self, name: str) -> None:
        for server, content in ((self.old, OURS), (self.new, THEIRS)):
            server.sql(f"CREATE DATABASE {name}", "postgres")
            server.sql(content, name)

    def ledger(self) -> dict[str, Any]:
        """From one database of the older server to another, over TLS with its certificate checked."""
        for name, content in (("ledger", OURS), ("books", THEIRS)):
            self.old.sql(f"CREATE DATABASE {name}", "postgres")
            self.old.sql(content, name)
        target = self.old.endpoint("books", verified=True)
        return {"name": LEDGER, "source": self.old.endpoint("ledger"), "target": target, "replace": True}

    def database(self, name: str, **more: Any) -> dict[str, Any]:
        return {"name": DATABASE, "source": self.old.endpoint(name), "target": self.new.endpoint(name), **more}


@pytest.fixture(scope="module")
def servers(cluster: Tools, images: str) -> Iterator[Servers]:
    namespaces = Namespaces(cluster)
    kube = namespaces.make("servers")
    found = Servers(Server(kube, "old", 15, tls=True), Server(kube, "new", 18))
    for server in (found.old, found.new):
        server.make()
    for server in (found.old, found.new):
        server.serve()
    yield found
    for name in namespaces.made:
        kube.delete("namespace", name)


def a_document(*databases: dict[str, Any], rests: str = "", **spec: Any) -> dict[str, Any]:
    resting = [{"kind": "Deployment", "name": rests, "side": "Source"}] if rests else []
    return a_migration(
        "shop",
        **{
            "volumes": {"pairs": [a_pair()], "databases": list(databases)},
            "quiesce": {"workloads": resting},
            "backup": {"claimName": "backup"},
            **spec,
        },
    )


def units_of(status: dict[str, Any], step_id: str) -> list[dict[str, Any]]:
    return [unit for step in status.get("steps", ()) if step["id"] == step_id for unit in step.get("units", ())]


def assert_nothing_of_ours_is_left(kube: Kube, server: Server, database: str) -> None:
    wait(lambda: not kube.helpers(), "helpers to be gone", 60)
    wait(lambda: not kube.list("pods", HELPERS), "helper pods to be gone", 60)
    assert kube.list("leases") == []
    # the schema itself stays after a success, and only its comment says what was carried out
    noted = "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace('_project_migration')"
    assert server.sql(noted, database) == ""
    assert server.sql(f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}'", "postgres") == "0"


# --- one migration and its undo, watched from all sides


@dataclass(frozen=True)
class Sales:
    """What source and target hold of what the sellers wrote down."""

    rows: int
    files: int


@dataclass(frozen=True)
class Moved:
    kube: Kube
    before: tuple[str, str]
    files_before: str
    succeeded: dict[str, Any]
    arrived: Sales
    precious: str
    undone: dict[str, Any]
    after: tuple[str, str]
    files_after: str
    seen: Witness
    left: list[tuple[str, bytes]]
    report: str
    operator_log: str


def shop_in(kube: Kube, servers: Servers, name: str) -> None:
    kube.claims("old", "new", "work", "backup")
    kube.apply(*servers.secrets())
    servers.fill(name)


@pytest.fixture(scope="module")
def moved(
    cluster: Tools, servers: Servers, operator: Kube, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Moved]:
    """Users sell on the source, and the target is in use, when both move; then the target's users want theirs back."""
    namespaces = Namespaces(cluster)
    kube = namespaces.make("shop-moves", **{PRIVILEGED: "true"})
    shop_in(kube, servers, "moves")
    kube.run("fill-new", "cd /claims/new; echo theirs > sale-1; chown -R 7:8 .", "new")
    kube.apply(sellers(servers.old, kube, "moves"))
    wait(lambda: int(servers.old.sql("SELECT count(*) FROM sale", "moves")) > 3, "some sales", 90)
    ledger = servers.ledger()
    before = (servers.new.content("moves"), servers.old.content("books"))
    files_before = kube.run("look-before", FILES, "new")
    with Witness(kube, tmp_path_factory.mktemp("seen")) as seen:
        slow = {"bandwidth": "4Mi"}  # so that psql, which large tables have, runs long enough to be seen
        kube.create(a_document(servers.database("moves", replace=True), ledger, rests="sellers", transfer=slow))
        succeeded = kube.ended("shop", timeout=240)
        rows = int(servers.new.sql("SELECT count(*) FROM sale", "moves")) if succeeded["phase"] == "Succeeded" else 0
        files = kube.run("count", "ls /claims/new | wc -l", "new")
        precious = servers.new.sql("SELECT to_regclass('precious')", "moves")
        kube.patch("pmig", "shop", {"spec": {"undo": True}})
        wait(lambda: kube.status("shop")["phase"] != succeeded["phase"], "the undo to begin", 30)
        undone = kube.ended("shop", timeout=240)
        place = tmp_path_factory.mktemp("report") / "report.html"
        done = command(kube, "report", "shop", "--output", str(place))
        assert done.returncode == 0, done.stderr
    pod = operator.list("pods", "app.kubernetes.io/name=project-migration-operator")[0]["metadata"]["name"]
    yield Moved(
        kube,
        before,
        files_before,
        succeeded,
        Sales(rows, int(files)),
        precious,
        undone,
        (servers.new.content("moves"), servers.old.content("books")),
        kube.run("look-after", FILES, "new"),
        seen,
        list(files_in(kube, "work", "backup", "new")),
        place.read_text(),
        operator.kubectl("logs", pod),
    )
    kube.delete("namespace", kube.namespace)


def test_a_claim_and_its_database_arrive_from_the_same_stop(moved: Moved, servers: Servers) -> None:
    assert moved.succeeded["phase"] == "Succeeded", describe(moved.succeeded)
    assert moved.arrived.rows > 3
    assert moved.arrived.files == moved.arrived.rows, "each sale is a row and a file"
    assert moved.precious == "", "what was there was replaced"
    proved = {unit["name"]: unit["digest"] for unit in units_of(moved.succeeded, "verify")}
    assert set(proved) == {"data", DATABASE, LEDGER}
    assert all(digest.startswith("sha256:") for digest in proved.values())


def test_users_of_the_source_go_on_after_the_stop(moved: Moved, servers: Servers) -> None:
    moved.kube.ready("deployment", "sellers", 1)
    sold = "SELECT count(*) FROM sale"
    wait(lambda: int(servers.old.sql(sold, "moves")) > moved.arrived.rows, "sales after the migration", 60)
    assert servers.old.sql("SELECT count(*) FROM pg_namespace WHERE nspname = '_project_migration'", "moves") == "0"


def test_an_undo_gives_users_of_both_what_they_had(moved: Moved, servers: Servers) -> None:
    assert moved.undone["phase"] == "Undone", describe(moved.undone)
    assert moved.after == moved.before
    assert moved.files_after == moved.files_before
    assert_nothing_of_ours_is_left(moved.kube, servers.new, "moves")


def test_helpers_of_a_database_have_the_image_of_its_target_s_major_version(
    moved: Moved, cluster: Tools, images: str
) -> None:
    used: dict[str, set[str]] = defaultdict(set)
    for job in json_stream(moved.seen.watched("jobs")):
        [container] = job["spec"]["template"]["spec"]["containers"]
        unit, worker = job["metadata"]["labels"][UNIT], container["command"][-1].rpartition("workers.")[2]
        used[f"{unit}: {worker}"].add(container["image"])
    for_18 = {f"{DATABASE}: postgres.{name}" for name in ("dump", "copy", "verify", "restore", "clear")}
    for_18.add("client-tools-18: postgres.client_tools")
    assert for_18 | {f"{LEDGER}: postgres.copy", f"{DATABASE}: postgres.survey", "data: copy_tree"} <= set(used)
    for what, found in used.items():
        assert found == {images if what in for_18 else cluster.operator_image}, what


def json_stream(text: str) -> Iterator[dict[str, Any]]:
    decoder, at = json.JSONDecoder(), 0
    while at < len(text.rstrip()):
        found, at = decoder.raw_decode(text, at)
        yield found
        at += len(text[at:]) - len(text[at:].lstrip())


def test_secrets_are_in_no_object_log_status_report_or_file(moved: Moved, servers: Servers) -> None:
    planted = servers.planted
    assert len(planted) == 3
    steps = ("preflight-shop", "back-up-shop", "copy-shop", "verify-shop", "roll-back-shop")
    for step in steps:
        assert any(name.startswith(step) and said for name, said in moved.seen.logs.items()), f"{step} has said nothing"
        assert all(step in moved.seen.watched(kind) for kind in ("jobs", "pods", "events")), step
    assert '"phase": "Succeeded"' in moved.seen.watched("projectmigrations")
    assert any(name.startswith("backup/") and "shop" in name for name, _ in moved.left), "a dump lies there"
    texts = [
        *moved.seen.texts(),
        *moved.left,
        ("report", moved.report.encode()),
        ("the operator's log", moved.operator_log.encode()),
        ("the status", json.dumps(moved.undone).encode()),
    ]
    assert places_of(planted, texts) == []


@pytest.mark.skipif(chosen_by_environment() is not None, reason="the processes of another machine cannot be seen")
def test_secrets_are_in_no_command_line_or_environment_of_a_helper(moved: Moved, servers: Servers) -> None:
    for program in ("postgres.copy", "postgres.dump", "postgres.verify", "bin/pg_dump", "bin/pg_restore", "bin/psql"):
        assert moved.seen.processes.ran(program), program
    assert set(moved.seen.processes.seen) == {"cmdline", "environ"}
    assert places_of(servers.planted, moved.seen.processes.texts()) == []


# --- the operator is killed


@dataclass(frozen=True)
class Resting:
    """What must be as it was on the source, and which content the target had."""

    source: str
    source_files: str
    target: str
    target_files: str


def resting(kube: Kube, servers: Servers, name: str) -> Resting:
    look = FILES.replace("/new", "/old")
    return Resting(
        servers.old.content(name),
        kube.run("look-old", f"{look}; sha256sum *", "old"),
        servers.new.content(name),
        kube.run("look-new", FILES, "new"),
    )


@pytest.fixture
def shop(kube: Kube, servers: Servers, request: pytest.FixtureRequest) -> str:
    """A database and a claim on either side, the claim's users at work. The name of the database."""
    name = "killed_" + request.node.name.rpartition("_")[2]
    shop_in(kube, servers, name)
    kube.run("fill", "cd /claims/old; head -c 20000000 /dev/urandom > large; echo 1 > one", "old")
    kube.run("fill-new", "cd /claims/new; echo theirs > one; chown -R 7:8 .", "new")
    kube.deployment("web", 2, "old")
    kube.ready("deployment", "web", 2)
    return name


def test_both_arrive_although_the_operator_is_killed_at_random_while_they_migrate(
    cluster: Tools, kube: Kube, servers: Servers, images: str, shop: str, without_operator: None
) -> None:
    print(f"KILL_SEED={SEED}")
    before = resting(kube, servers, shop)
    kube.create(a_document(servers.database(shop, replace=True), rests="web"))
    kills = killed_at_random(cluster, kube, "shop", random.Random(SEED), helper_postgres_images=f"18={images}")
    status, after = kube.status("shop"), resting(kube, servers, shop)
    assert kills >= KILLS // 2
    assert status["phase"] == "Succeeded", describe(status)
    assert (after.source, after.source_files) == (before.source, before.source_files), "the source is only read"
    assert servers.new.sql("SELECT count(*), to_regclass('precious') FROM item", shop) == "80000|"
    look = "cmp /claims/old/large /claims/new/large && ls /claims/new"
    assert kube.run("compare", look, "old", "new") == "large\none\n"
    kube.ready("deployment", "web", 2)
    assert_nothing_of_ours_is_left(kube, servers.new, shop)


def test_both_are_as_before_although_the_operator_is_killed_at_random_in_the_rollback(
    cluster: Tools, kube: Kube, servers: Servers, images: str, shop: str, without_operator: None
) -> None:
    print(f"KILL_SEED={SEED}")
    before = resting(kube, servers, shop)
    kube.create(a_document(servers.database(shop, replace=True), rests="web", transfer={"bandwidth": "4Mi"}))

    def database_is_there() -> bool:
        units = units_of(kube.status("shop"), "copy")
        return any(unit["name"] == DATABASE and unit["state"] == "Succeeded" for unit in units)

    def cancelled_in_the_copy() -> None:
        helper_pod(kube, "copy", timeout=180)
        wait(database_is_there, "the database to be replaced", 60, every=0.1)
        kube.patch("pmig", "shop", {"spec": {"cancel": True}})

    seeded = random.Random(SEED)
    settings = {"helper_postgres_images": f"18={images}"}
    kills = killed_at_random(cluster, kube, "shop", seeded, cancelled_in_the_copy, **settings)
    status = kube.status("shop")
    assert kills >= KILLS // 2
    assert (status["phase"], status.get("firstWriteAt")) == ("Cancelled", None), describe(status)
    assert status["rolledBackAt"]
    assert resting(kube, servers, shop) == before
    kube.ready("deployment", "web", 2)
    assert_nothing_of_ours_is_left(kube, servers.new, shop)


# --- what is refused


def test_an_image_that_cannot_be_had_is_found_before_anything_is_stopped(
    cluster: Tools, kube: Kube, servers: Servers, without_operator: None
) -> None:
    shop_in(kube, servers, "no_image")
    kube.create(a_document(servers.database("no_image", replace=True), timeouts={"helperStart": "20s"}))
    process = an_operator(cluster, kube, helper_postgres_images="18=localhost/none:1", helper_pull_policy="Never")
    try:
        status = kube.ended("shop")
    finally:
        kill(process)
    assert (status["phase"], status["failureReason"]) == ("Failed", "HelperImage"), describe(status)
    assert "image localhost/none:1" in status["failure"]
    failed = {unit["name"] for unit in units_of(status, "preflight") if unit["state"] == "Failed"}
    assert failed == {"client-tools-18"}
    assert "firstWriteAt" not in status


def test_a_major_version_without_an_image_is_named(
    cluster: Tools, kube: Kube, servers: Servers, without_operator: None
) -> None:
    shop_in(kube, servers, "no_tools")
    kube.create(a_document(servers.database("no_tools", replace=True)))
    process = an_operator(cluster, kube)
    try:
        status = kube.ended("shop")
    finally:
        kill(process)
    assert (status["phase"], status["failureReason"]) == ("Failed", "ClientToolsMissing"), describe(status)
    assert "helper.postgresImages names no image for 18" in status["failure"]
    assert "firstWriteAt" not in status
