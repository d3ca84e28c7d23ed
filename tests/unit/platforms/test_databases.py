"""What the helpers of databases are asked to do: names only, the Secrets of their side, and no more rights."""

from __future__ import annotations

import json
from typing import Any

from project_migration.engine.effects import SecretMount
from project_migration.engine.platform import Backing
from project_migration.model.document import Spec
from project_migration.model.endpoints import Volume
from project_migration.model.errors import Reason
from project_migration.model.records import Outcome, Record
from project_migration.platforms.volumes import databases
from project_migration.platforms.volumes.databases import Clearing
from project_migration.platforms.volumes.platform import VolumesPlatform
from tests.unit.model.test_database_rules import a_database, an_endpoint

PAIR = {"name": "files", "source": {"claimName": "old"}, "target": {"claimName": "new"}}
CLAIM = Volume(claim_name="backup")


def a_spec(*found: dict[str, Any], **more: Any) -> Spec:
    volumes = {"pairs": [PAIR], "databases": list(found or (a_database(),))}
    return Spec.model_validate({"volumes": volumes, **more})


def test_pairs_and_databases_are_units_of_the_same_steps() -> None:
    platform, spec = VolumesPlatform(), a_spec(transfer={"bandwidth": "10Mi", "workers": 3})
    steps = (
        platform.surveys(spec, ()),
        platform.copies(spec, share=2, empty=frozenset()),
        platform.verifications(spec),
    )
    assert [[(work.name, work.worker) for work in works] for works in steps] == [
        [("files", "survey"), ("shop", "postgres.survey")],
        [("files", "copy_tree"), ("shop", "postgres.copy")],
        [("files", "manifest"), ("shop", "postgres.verify")],
    ]
    copy = steps[1][1]
    assert (copy.params["workers"], copy.params["bandwidth"]) == (3, 5 * 2**20)
    assert [use.unit for use in platform.uses(spec)] == ["files", "files"], "a database mounts no claim"


def test_a_helper_gets_the_secrets_that_it_needs_and_talks_to_servers() -> None:
    target = an_endpoint("db.new", caRef={"name": "authority", "key": "root.pem"}, credentialsRef={"name": "new"})
    [work] = databases.surveys(a_spec(a_database(target=target)))
    keys = (("username", "username"), ("password", "password"))
    assert work.secrets == (
        SecretMount("source-credentials", "db", keys),
        SecretMount("target-credentials", "new", keys),
        SecretMount("target-ca", "authority", (("root.pem", "ca.crt"),)),
    )
    assert work.network
    assert work.mounts == ()
    assert not any(work.network for work in VolumesPlatform().surveys(a_spec(), ())[:1]), "volumes need no network"


def test_survey_copy_and_proof_are_asked_with_the_same_choices() -> None:
    spec = a_spec(
        a_database(
            schemas={"include": ["public"]},
            tables={"exclude": ["log_*"]},
            excludeTableData=["audit"],
            owners="Drop",
            missingRoles="LeaveOut",
            acceptCollation=True,
        )
    )
    survey, copy, proof = (
        works[0].params
        for works in (
            databases.surveys(spec),
            databases.copies(spec, bandwidth=None, empty=frozenset()),
            databases.verifications(spec),
        )
    )
    assert {name: copy[name] for name in survey} == dict(survey)
    assert {name: proof[name] for name in survey} == dict(survey)
    assert survey["source"] == {
        "host": "db.old",
        "port": 5432,
        "database": "shop",
        "sslmode": None,
        "insecureSkipVerify": False,
    }
    assert (survey["owners"], survey["privileges"], survey["missingRoles"]) == ("Drop", "Keep", "LeaveOut")
    assert survey["tables"] == {"include": [], "exclude": ["log_*"]}
    assert json.dumps(dict(copy)), "a request is plain JSON"


def surveyed(*found: dict[str, Any], count: int | None = None, **more: Any) -> Record:
    facts = {"problems": {"found": list(found), "count": len(found) if count is None else count}}
    return Record("sha256:x", more.pop("outcome", Outcome.SUCCEEDED), facts=facts, **more)


def problem(reason: str, message: str, passing: bool = False) -> dict[str, Any]:
    return {"reason": reason, "message": message, "passing": passing}


def test_everything_that_a_survey_found_is_said() -> None:
    record = surveyed(
        problem("RoleMissing", "the target lacks the role(s) a"),
        problem("DatabaseUnreachable", "source: no", passing=True),
        count=4,
    )
    found = VolumesPlatform().judge_survey(a_spec(), "shop", record, written=False)
    assert [(failure.reason, failure.passing) for failure in found] == [
        (Reason.ROLE_MISSING, False),
        (Reason.DATABASE_UNREACHABLE, True),
        (Reason.DATABASE_UNREACHABLE, False),
    ]
    assert found[0].message == "shop: the target lacks the role(s) a"
    assert found[2].message == "shop: and 2 more"


def test_a_survey_that_found_nothing_or_could_not_look_is_judged_so() -> None:
    platform = VolumesPlatform()
    assert platform.judge_survey(a_spec(), "shop", surveyed(), written=False) == ()
    failed = surveyed(outcome=Outcome.FAILED, reason="IOError", message="the disk", passing=True)
    [found] = platform.judge_survey(a_spec(), "shop", failed, written=False)
    assert (found.reason, found.message, found.passing) == (Reason.IO_ERROR, "shop: the disk", True)


def test_only_targets_that_are_replaced_are_dumped_before() -> None:
    spec = a_spec(
        a_database(replace=True),
        a_database(name="plain", source=an_endpoint("db.a"), target=an_endpoint("db.b")),
        backup={"waive": "none"},
    )
    [work] = databases.backups(spec, (Backing("shop", CLAIM), Backing("plain", CLAIM)))
    assert (work.name, work.worker) == ("shop", "postgres.dump")
    assert (work.params["side"], work.params["name"]) == ("target", "shop")
    assert "source" not in work.params
    assert [(mount.root, mount.read_only) for mount in work.mounts] == [("backup", False)]
    assert [secret.root for secret in work.secrets] == ["target-credentials"]
    assert databases.backups(spec, ()) == (), "what is on record is not dumped again"


def test_the_way_back_is_a_dump_or_an_empty_database() -> None:
    spec = a_spec(
        a_database(replace=True),
        a_database(name="empty", replace=True, source=an_endpoint("db.c"), target=an_endpoint("db.d")),
        a_database(name="plain", source=an_endpoint("db.a"), target=an_endpoint("db.b")),
        backup={"waive": "none"},
    )
    works = databases.restores(spec, (Backing("shop", CLAIM), Backing("empty", None), Backing("plain", None)))
    assert [(work.name, work.worker) for work in works] == [
        ("shop", "postgres.restore"),
        ("empty", "postgres.clear"),
        ("plain", "postgres.clear"),
    ]
    assert works[0].params["replace"] is True
    assert [(mount.root, mount.read_only) for mount in works[0].mounts] == [("backup", True)]
    assert {work.params["what"] for work in works[1:]} == {"Everything"}


def test_what_was_begun_can_be_cleared_away_without_a_backup() -> None:
    [work] = databases.clears(a_spec(), Clearing.UNFINISHED)
    assert (work.worker, work.params["what"], work.mounts) == ("postgres.clear", "Unfinished", ())


def test_missing_client_tools_are_judged_by_all_images_that_there_are() -> None:
    def judged(needed: int, found: list[int], images: frozenset[int] = frozenset()) -> list[str]:
        tools = {"needed": needed, "found": {str(major): "/usr/bin" for major in found}}
        record = Record("sha256:x", Outcome.SUCCEEDED, facts={"tools": tools})
        failures = VolumesPlatform().judge_survey(a_spec(), "shop", record, written=False, client_images=images)
        return [f"{failure.reason} {failure.message}" for failure in failures]

    assert judged(15, [15]) == []
    assert judged(18, [15], frozenset({18})) == []
    for images in (frozenset(), frozenset({17})):
        [message] = judged(18, [15], images)
        assert message.startswith("ClientToolsMissing shop: the target is PostgreSQL 18")
        assert "helper.postgresImages names no image for 18" in message
    assert "found: none" in judged(18, [])[0]


def test_one_look_serves_all_databases_of_a_major_version_and_needs_nothing() -> None:
    more = a_database(name="more", source=an_endpoint("db.a"), target=an_endpoint("db.b"))
    spec = a_spec(a_database(), more)
    looks = VolumesPlatform().tool_looks(spec, {"shop": {"targetMajor": 18}, "more": {"targetMajor": 18}, "files": {}})
    assert [(work.name, work.worker, work.client_major) for work in looks] == [
        ("client-tools-18", "postgres.client_tools", 18)
    ]
    assert (looks[0].mounts, looks[0].secrets, looks[0].network) == ((), (), False)
    assert VolumesPlatform().tool_looks(spec, {}) == ()
