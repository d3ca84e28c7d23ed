from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from project_migration.engine.names import Key
from project_migration.model.status import ItineraryStatus, State, Status, StepStatus, UnitStatus
from project_migration.observing import logs
from project_migration.observing.metrics import HelperEnded, Metrics, StepEnded, Transition, transition
from tests.unit.kubernetes.objects import a_migration

BEGAN, ENDED = "2026-01-01T00:00:00Z", "2026-01-01T00:01:30Z"


def with_unit(**unit: object) -> Status:
    step = StepStatus(id="copy", state=State.RUNNING, started_at=BEGAN, units=(UnitStatus(name="data", **unit),))
    return Status(itinerary=ItineraryStatus(name="migrate"), steps=(step,))


def test_a_step_is_counted_once_when_it_ends() -> None:
    running = Status(steps=(StepStatus(id="copy", state=State.RUNNING, started_at=BEGAN),))
    done = Status(steps=(StepStatus(id="copy", state=State.SUCCEEDED, started_at=BEGAN, finished_at=ENDED),))
    assert transition(running, done).steps == (StepEnded("copy", State.SUCCEEDED, 90.0),)
    assert transition(done, done) == Transition()


def test_bytes_are_counted_as_they_come_and_not_again_after_a_restart() -> None:
    early, late = with_unit(state=State.RUNNING, bytes_done=10), with_unit(state=State.RUNNING, bytes_done=25)
    assert transition(early, late).copied_bytes == 15
    assert transition(late, late).copied_bytes == 0
    assert transition(late, with_unit(state=State.RUNNING, attempt=2)).copied_bytes == 0


def test_every_attempt_is_an_outcome() -> None:
    first = with_unit(state=State.RUNNING, helper="h1")
    second = with_unit(state=State.PENDING, attempt=2, helper="h1", reason="HelperEvicted")
    done = with_unit(state=State.SUCCEEDED, attempt=2, helper="h2")
    assert transition(first, second).helpers == (HelperEnded("copy", "HelperEvicted"),)
    assert transition(second, done).helpers == (HelperEnded("copy", "Succeeded"),)
    failed = with_unit(state=State.FAILED, attempt=2, helper="h2", reason="NoSpaceLeft")
    assert transition(second, failed).helpers == (HelperEnded("copy", "NoSpaceLeft"),)


def test_a_unit_that_never_had_a_helper_is_no_outcome() -> None:
    assert transition(Status(), with_unit(state=State.FAILED, reason="ClaimNotFound")).helpers == ()


def test_migrations_are_counted_by_the_phase_they_are_in() -> None:
    metrics = Metrics()

    def count(phase: str) -> float | None:
        return metrics.registry.get_sample_value("project_migration_migrations", {"phase": phase})

    migration = a_migration()
    metrics.observe_phase(Key("ml", "other"), "Copying")
    metrics.observe_transition(migration, Status(phase="Pending"), Status(phase="Copying"))
    assert count("Copying") == 2
    metrics.observe_transition(migration, Status(phase="Copying"), Status(phase="Succeeded"))
    assert (count("Copying"), count("Succeeded")) == (1, 1)
    metrics.forget(migration.key)
    metrics.forget(migration.key)
    assert count("Succeeded") == 0


def test_a_pass_that_fails_is_timed_and_counted() -> None:
    metrics = Metrics()
    with pytest.raises(ValueError, match="broken"), metrics.one_pass():
        raise ValueError("broken")
    assert metrics.registry.get_sample_value("project_migration_passes_failed_total") == 1
    assert metrics.registry.get_sample_value("project_migration_pass_duration_seconds_count") == 1


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.configure("INFO", stream)
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)


def test_whatever_is_logged_in_a_pass_says_which_migration_it_is_about(lines: io.StringIO) -> None:
    log = logging.getLogger("anything")
    with logs.about(Key("ml", "vision")):
        log.info("before %s", "loading")
        logs.about_uid("u-1")
        log.warning("after")
    log.info("outside")
    first, second, third = (json.loads(line) for line in lines.getvalue().splitlines())
    assert first["message"] == "before loading"
    assert first["migration"] == {"namespace": "ml", "name": "vision"}
    assert second["migration"] == {"namespace": "ml", "name": "vision", "uid": "u-1"}
    assert (second["level"], second["logger"]) == ("warning", "anything")
    assert "migration" not in third


def test_kopfs_lines_have_the_same_form(lines: io.StringIO) -> None:
    reference = {"apiVersion": "v1", "kind": "ProjectMigration", "name": "vision", "namespace": "ml", "uid": "u"}
    logging.getLogger("kopf.objects").warning("hm", extra={"k8s_ref": reference, "k8s_skip": False})
    assert json.loads(lines.getvalue())["migration"] == {"namespace": "ml", "name": "vision", "uid": "u"}


def test_an_exception_stays_on_one_line(lines: io.StringIO) -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("anything").exception("it broke")
    (line,) = lines.getvalue().splitlines()
    assert "ValueError: two" in json.loads(line)["exception"]
