"""What becomes of effects whose answer is not yes, and of questions; the API server itself is in tests/cluster."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from project_migration.backends.kubernetes.admission import offer
from project_migration.backends.kubernetes.announcements import event
from project_migration.backends.kubernetes.client import AlreadyExists, NotThere, Refused, TroubleError
from project_migration.backends.kubernetes.effects import Effects
from project_migration.backends.kubernetes.leases import parse_holder
from project_migration.backends.kubernetes.migrations import Migrations
from project_migration.backends.kubernetes.pods import PodReader
from project_migration.backends.kubernetes.refusals import SECONDS, Refusals
from project_migration.backends.kubernetes.resources import Json
from project_migration.engine.effects import (
    Announce,
    DropLease,
    EnsureClaim,
    HoldWorkload,
    PrepareHelper,
    ReleaseWorkload,
    Rights,
    StartHelper,
    TakeLease,
)
from project_migration.engine.names import Key, WorkloadRef
from project_migration.model.document import WorkloadKind
from project_migration.model.errors import Conflict, Failure, PassingError, Reason
from project_migration.model.records import Request
from tests.unit.kubernetes.objects import MOMENT, UID, a_helper, a_migration, some_settings


class Answers:
    """A client whose every write is answered by ``say``."""

    def __init__(self, say: Exception | None = None) -> None:
        self.say = say
        self.asked: list[tuple[str, Json]] = []

    def create(self, path: str, body: Json, *, dry_run: bool = False) -> Json:
        return self._answer(f"create {'(dry) ' if dry_run else ''}{path}", body)

    def patch(self, path: str, body: Json) -> Json:
        return self._answer(f"patch {path}", body)

    def delete(self, path: str, **conditions: Any) -> None:
        self._answer(f"delete {path}", conditions)

    def _answer(self, what: str, body: Json) -> Json:
        self.asked.append((what, body))
        if self.say is not None:
            raise self.say
        return body


def effects(client: Any, refusals: Refusals | None = None, late: list[str] | None = None) -> Effects:
    return Effects(
        client,
        some_settings(),
        Migrations(client, ()),
        PodReader(client),
        refusals or Refusals(),
        (late if late is not None else []).append,
    )


START = StartHelper("copy-data-1-3f9a1c22", "job-uid", "5")


@pytest.mark.parametrize("say", [Conflict("old"), AlreadyExists("there"), NotThere(404, "gone")])
def test_what_is_late_or_needless_is_passed_over_and_the_rest_is_done(say: Exception) -> None:
    client = Answers(say)
    effects(client).apply(a_migration(), [START, DropLease("lock", "1")])
    assert [what.split()[0] for what, _ in client.asked] == ["patch", "delete"]


def test_only_what_was_late_is_counted_as_late() -> None:
    late: list[str] = []
    effects(Answers(Conflict("old")), late=late).apply(a_migration(), [START])
    effects(Answers(AlreadyExists("there")), late=late).apply(a_migration(), [START])
    assert late == ["StartHelper"]


def test_an_api_server_that_does_not_answer_ends_the_pass() -> None:
    client = Answers(PassingError("no answer"))
    with pytest.raises(PassingError):
        effects(client).apply(a_migration(), [START, START])
    assert len(client.asked) == 1


def test_a_refusal_is_kept_until_the_same_thing_succeeds() -> None:
    refusals = Refusals()
    client = Answers(Refused(403, "exceeded quota"))
    doing = effects(client, refusals)
    doing.apply(a_migration(), [PrepareHelper(a_helper())])
    assert refusals.of(UID) == {a_helper().name: Failure(Reason.HELPER_REFUSED, "exceeded quota")}
    client.say = None
    doing.apply(a_migration(), [PrepareHelper(a_helper())])
    assert refusals.of(UID) == {}


def test_a_refusal_is_forgotten_after_a_while() -> None:
    now = [0.0]
    refusals = Refusals(clock=lambda: now[0])
    refusals.note("u", "x", Failure(Reason.HELPER_REFUSED, "no"))
    now[0] = SECONDS + 1
    assert refusals.of("u") == {}


def test_an_event_that_cannot_be_posted_stops_nothing() -> None:
    client = Answers(PassingError("no answer"))
    effects(client).apply(a_migration(), [Announce("StepBegun", "copy")])
    assert len(client.asked) == 1


def test_a_helper_is_started_at_the_version_it_was_seen_at() -> None:
    client = Answers()
    effects(client).apply(a_migration(), [START])
    assert client.asked == [
        (
            "patch /apis/batch/v1/namespaces/ml/jobs/copy-data-1-3f9a1c22",
            {"metadata": {"uid": "job-uid", "resourceVersion": "5"}, "spec": {"suspend": False}},
        )
    ]


@pytest.mark.parametrize("version", ["", "0"])
def test_nothing_is_written_on_the_strength_of_no_version(version: str) -> None:
    client, ref = Answers(), WorkloadRef(WorkloadKind.DEPLOYMENT, "web")
    unfenced = [
        StartHelper("x", "uid", version),
        HoldWorkload(ref, version, "ml/vision/uid", 3, suspended=False),
        ReleaseWorkload(ref, version, "1", replicas=3, suspended=None),
        TakeLease("lock", "ml/vision/uid", version),
        DropLease("lock", version),
    ]
    effects(client).apply(a_migration(), unfenced)
    assert client.asked == []


def test_an_events_name_is_what_it_says_and_when_it_was_decided() -> None:
    def name(told: Announce, version: str = "7") -> str:
        made = event(told, replace(a_migration(), version=version), now=MOMENT)
        return str(made["metadata"]["name"])

    same = name(Announce("Failed", "no"))
    assert same == name(Announce("Failed", "no"))
    assert len({same, name(Announce("Failed", "not")), name(Announce("Failed", "no"), "8")}) == 3
    longest = event(Announce("Failed", "é" * 2000), a_migration(name="x" * 253), now=MOMENT, instance="pod")
    assert len(longest["metadata"]["name"]) <= 253
    assert len(longest["message"].encode()) <= 1024


def test_helpers_that_look_alike_are_offered_once() -> None:
    client = Answers(Refused(403, "violates PodSecurity"))
    alike = [
        a_helper(name=f"copy-{unit}-1", request=Request("copy_tree", UID, "vision", "ml", "copy", unit))
        for unit in ("one", "two", "three")
    ]
    other = a_helper(name="other", rights=Rights.OWNERS)
    with ThreadPoolExecutor(2) as executor:
        refused = offer(client, executor, a_migration(), [*alike, other], some_settings())  # type: ignore[arg-type]
    assert set(refused) == {"copy-one-1", "copy-two-1", "copy-three-1", "other"}
    assert len(client.asked) == 2
    assert all(what.startswith("create (dry) ") for what, _ in client.asked)


def test_a_webhook_in_trouble_is_told_and_may_pass() -> None:
    client = Answers(TroubleError(500, "failed calling webhook"))
    with ThreadPoolExecutor(1) as executor:
        refused = offer(client, executor, a_migration(), [a_helper()], some_settings())  # type: ignore[arg-type]
    assert refused[a_helper().name].passing
    assert refused[a_helper().name].reason is Reason.HELPER_REFUSED


TARGET = EnsureClaim("new", "5Gi", "fast", stays=True)


class Classes(Answers):
    """A cluster in which every storage class is read with ``about_classes``."""

    def __init__(self, about_classes: Exception | None, say: Exception | None = None) -> None:
        super().__init__(say)
        self.about_classes = about_classes

    def get(self, path: str) -> Json:
        if self.about_classes is not None:
            raise self.about_classes
        return {"metadata": {"name": path}}


def refusal_of(client: Answers, claim: EnsureClaim = TARGET) -> Failure | None:
    with ThreadPoolExecutor(1) as executor:
        return offer(client, executor, a_migration(), [claim], some_settings()).get(claim.name)  # type: ignore[arg-type]


def test_a_claim_of_a_class_that_does_not_exist_is_refused_by_name_before_it_is_offered() -> None:
    client = Classes(NotThere(404, "not found"))
    failure = refusal_of(client)
    assert failure is not None
    assert failure.reason is Reason.STORAGE_CLASS_NOT_FOUND
    assert failure.message == "target claim new cannot be made: there is no storage class fast"
    assert client.asked == []


def test_a_class_that_we_may_not_look_at_is_believed_in() -> None:
    client = Classes(Refused(403, "storageclasses is forbidden"))
    assert refusal_of(client) is None
    assert [what for what, _ in client.asked] == ["create (dry) /api/v1/namespaces/ml/persistentvolumeclaims"]


def test_what_quota_says_against_a_claim_is_told_with_its_name() -> None:
    failure = refusal_of(Classes(None, Refused(403, "exceeded quota: storage")))
    assert failure == Failure(Reason.CLAIM_NOT_MADE, "target claim new cannot be made: exceeded quota: storage")
    passing = refusal_of(Classes(None, TroubleError(500, "failed calling webhook")))
    assert passing is not None
    assert passing.passing
    assert refusal_of(Classes(None, AlreadyExists("there"))) is None, "somebody was faster: the next look sees it"


def test_only_a_holder_of_our_form_is_a_holder() -> None:
    assert parse_holder("ml/vision/uid") == (Key("ml", "vision"), "uid")
    assert parse_holder("somebody") is None
    assert parse_holder("ml//uid") is None
