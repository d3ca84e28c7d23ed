"""Quantities, durations, records, conditions: small things on which much rests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project_migration.model.conditions import End, Summary, with_conditions
from project_migration.model.quantities import as_quantity, human_bytes, human_seconds, parse_bytes, parse_seconds
from project_migration.model.records import TERMINATION_MESSAGE_LIMIT, Compared, Outcome, Progress, Record, Request
from project_migration.model.status import Status


def test_quantities_and_durations_are_what_kubernetes_means_by_them() -> None:
    assert parse_bytes("200Mi") == 200 * 2**20
    assert parse_bytes("1.5k") == 1500
    assert parse_seconds("1h30m") == 5400
    assert (human_bytes(1536), human_seconds(3725)) == ("1.5 KiB", "1h 2m")


@pytest.mark.parametrize("text", ["", "1 Gi", "-1", "1e3", "Gi"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        parse_bytes(text)


@pytest.mark.parametrize("text", ["", "1", "m", "1m1h", "1d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_seconds(text)


def a_request(**changes: object) -> Request:
    fields: dict[str, object] = {
        "worker": "copy_tree",
        "migration_uid": "u",
        "migration_name": "n",
        "namespace": "ns",
        "step": "copy",
        "unit": "data",
        "params": {"b": 1, "a": [2]},
    }
    return Request(**{**fields, **changes})  # type: ignore[arg-type]


@given(st.integers(0, 2**60))
def test_a_quantity_of_bytes_has_room_for_them_and_wastes_less_than_a_mebibyte(count: int) -> None:
    assert count <= parse_bytes(as_quantity(count)) < count + 2 * 2**20


def test_round_sizes_are_said_as_people_say_them() -> None:
    assert [as_quantity(size) for size in (10 * 2**30, 2 * 2**40, 2**30 + 1, 16 * 2**20, 0)] == [
        "10Gi",
        "2Ti",
        "1025Mi",
        "16Mi",
        "1Mi",
    ]


def test_a_request_survives_the_wire_and_its_digest_ignores_attempt_and_mounts() -> None:
    request = a_request(attempt=2, roots={"source": "/mnt/source"})
    assert Request.from_json(request.to_json()) == request
    assert request.digest == a_request().digest
    assert request.digest != a_request(unit="home").digest
    assert request.digest != a_request(params={}).digest


@given(
    message=st.text(max_size=9000),
    names=st.dictionaries(st.text(max_size=20), st.lists(st.text(max_size=120), max_size=20).map(tuple), max_size=8),
)
def test_a_record_fits_the_termination_log_and_stays_whole(message: str, names: dict[str, tuple[str, ...]]) -> None:
    record = Record("sha256:x", Outcome.FAILED, "IOError", message, counts={"files": 3}, names=names)
    text = record.to_json(TERMINATION_MESSAGE_LIMIT)
    assert len(text.encode()) <= TERMINATION_MESSAGE_LIMIT
    found = Record.from_json(text)
    assert (found.counts, found.reason, found.outcome) == ({"files": 3}, "IOError", Outcome.FAILED)
    assert Record.from_json(record.to_json()) == record


@given(st.text(max_size=200))
def test_no_line_of_output_breaks_the_reader_of_progress(line: str) -> None:
    found = Progress.from_line(line)
    assert found is None or Progress.from_line(found.to_json()) == found


def test_a_condition_keeps_its_moment_until_its_status_changes() -> None:
    begun = with_conditions(Status(), Summary(None, "Copying", "1 of 2"), generation=1, now="2026-01-01T00:00:00Z")
    later = with_conditions(begun, Summary(None, "Verifying", ""), generation=1, now="2026-01-01T00:01:00Z")
    ended = with_conditions(later, Summary(End.SUCCEEDED, "Succeeded", ""), generation=1, now="2026-01-01T00:02:00Z")
    moments = [{c.type: (c.status, c.last_transition_time[14:16]) for c in s.conditions} for s in (later, ended)]
    assert moments[0] == {"Ready": ("False", "00"), "Reconciling": ("True", "00"), "Stalled": ("False", "00")}
    assert moments[1] == {"Ready": ("True", "02"), "Reconciling": ("False", "02"), "Stalled": ("False", "00")}


def test_a_survey_that_found_very_much_still_fits_the_termination_log() -> None:
    found = [{"reason": "RoleMissing", "message": "x" * 200, "passing": False}] * 12
    names = [f"{number}-{'n' * 60}" for number in range(20)]
    facts = {"target": {"empty": False, "missingRoles": names}, "problems": {"found": found, "count": 12}}
    text = Record("sha256:x", Outcome.SUCCEEDED, facts=facts).to_json(TERMINATION_MESSAGE_LIMIT)
    assert len(text.encode()) <= TERMINATION_MESSAGE_LIMIT
    kept = Record.from_json(text).facts
    assert kept["target"]["empty"] is False
    assert kept["problems"]["count"] == 12
    assert len(kept["problems"]["found"]) > 2


def test_a_proof_of_many_tables_fits_the_termination_log_and_keeps_those_that_differ() -> None:
    alike = [Compared(f"{'table' * 8}_{number}", 10**9, 10**9, "a" * 16, "a" * 16) for number in range(80)]
    differs = Compared("metrics", 308, 307, "b" * 16, "c" * 16)
    record = Record("sha256:x", Outcome.FAILED, "VerifyFailed", "m" * 3000, compared=(differs, *alike))
    text = record.to_json(TERMINATION_MESSAGE_LIMIT)
    assert len(text.encode()) <= TERMINATION_MESSAGE_LIMIT
    kept = Record.from_json(text)
    assert kept.compared[0] == differs
    assert len(kept.compared) > 20
    assert kept.message.startswith("mmm")
    assert Record.from_json(record.to_json()) == record
    assert [one.same for one in kept.compared[:2]] == [False, True]
