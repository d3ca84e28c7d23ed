from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from project_migration.model.status import ClaimStatus
from project_migration.observing.report import render
from project_migration.observing.report.account import account
from project_migration.observing.report.estimate import estimate
from project_migration.observing.report.page import document_digest, document_text, kind_words
from project_migration.observing.report.timeline import timeline
from project_migration.observing.report.words import end_sentences

from . import samples

SAMPLES = [samples.succeeded, samples.looked_at_again, samples.failed, samples.at_work, samples.planned]
VOID = {"meta", "rect", "line", "br", "hr", "link", "img"}


class Tags(HTMLParser):
    """What is open, what was closed wrongly, and everything that a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.fetched: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        self.fetched += [f"{name}={value}" for name, value in attributes if name in ("src", "href", "srcset")]

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.fetched += [f"{name}={value}" for name, value in attributes if name in ("src", "href", "srcset")]

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("style", "script"):
            self.text.append(data)


def parsed(page: str) -> Tags:
    tags = Tags()
    tags.feed(page)
    return tags


def text_of(page: str) -> str:
    return " ".join("".join(parsed(page).text).split())


@pytest.mark.parametrize("sample", SAMPLES)
def test_a_report_is_well_formed_and_fetches_nothing(sample) -> None:
    page = render(sample())
    tags = parsed(page)
    assert (tags.open, tags.wrong, tags.fetched) == ([], [], [])
    assert "url(" not in page
    assert "@import" not in page
    assert page.count("<script") == 1, "the report for programs, which no browser runs"
    assert '<script type="application/json"' in page


def test_a_report_tells_what_moved_and_how_it_was_proved() -> None:
    text = text_of(render(samples.succeeded()))
    for said in (
        "ml/vision has arrived, and was proved equal to its source.",
        "184,233 objects, 41.7 GiB in 3m 41s (193.2 MiB/s)",
        "claim data-old → claim data-new, vision/data",
        "hard links",
        samples.DIGEST,
        "It is a fresh installation; what is there are its examples.",
        "StatefulSet trainer",
        "left down, as the document asks",
        "2 attempts",
        document_digest(samples.DOCUMENT),
        "sourc",
    ):
        assert said in text


def test_a_report_tells_where_the_backup_is_and_until_when_and_what_was_found_later() -> None:
    text = text_of(render(samples.looked_at_again()))
    for said in (
        "What the target held is kept in migration-backup, below vision-5e0e7a62, until 2026-03-14T20:15:00Z.",
        "Looked at again data: 2 different: models/weights.bin (size, content)",
        "claim migration-work, vision-5e0e7a62",
    ):
        assert said in text


def test_a_report_of_a_failure_says_why_and_what_to_do() -> None:
    text = text_of(render(samples.failed()))
    for said in (
        "ml/vision failed in copy: NoSpaceLeft",
        "no space left on the target",
        "What to do: Enlarge the target",
        "3 could not be moved",
        "lists/copy-data-failed.txt",
        "Still down Deployment web (3)",
    ):
        assert said in text


def test_names_from_volumes_cannot_become_markup() -> None:
    page = render(samples.failed())
    assert "archive/2019/&lt;b&gt;run-78&lt;/b&gt;" in page
    assert "<b>run-78" not in page


def test_a_report_of_a_plan_says_what_would_move() -> None:
    text = text_of(render(samples.planned()))
    assert "What would move" in text
    assert "nothing was changed" in text


def test_a_document_that_cannot_be_read_still_has_a_report() -> None:
    assert "vision" in text_of(render(samples.migration(samples.failed().status, None)))


def test_a_migration_that_has_not_begun_has_a_report() -> None:
    assert "Pending" in text_of(render(samples.migration(samples.Status())))


def test_bars_lie_within_the_picture_and_in_order() -> None:
    found = timeline(account(samples.succeeded()))
    assert found is not None
    assert all(bar.left >= 0 and bar.left + bar.width <= 100.01 for bar in found.bars)
    steps = [bar for bar in found.bars if not bar.inner]
    assert [bar.left for bar in steps] == sorted(bar.left for bar in steps)
    copy = next(bar for bar in steps if bar.name == "copy")
    assert (copy.left, copy.width, copy.duration) == (10.76, 58.27, "3m 42s")


def test_the_time_the_source_s_workloads_were_down_is_told() -> None:
    told = account(samples.succeeded())
    assert told.downtime == 358, "the target's, which may rest for days before a cut-over, are no stop for users"
    assert "Workloads rested for 5m 58s." in list(end_sentences(told))


def test_a_claim_that_was_made_for_nothing_is_told() -> None:
    made = (ClaimStatus(name="data-new", size="10Gi", uid="u"), ClaimStatus(name="other", size="1Gi"))
    for end, first_write, words in (
        (samples.failed(), None, "Claim data-new was made for this migration and stays, empty."),
        (samples.failed(), "2026-03-01T00:00:00Z", "Claim data-new was made for this migration and stays."),
    ):
        status = end.status.model_copy(update={"claims": made, "first_write_at": first_write})
        told = [line for line in end_sentences(account(replace(end, status=status))) if line.startswith("Claim ")]
        assert told == [words]
    status = samples.succeeded().status.model_copy(update={"claims": made})
    arrived = end_sentences(account(replace(samples.succeeded(), status=status)))
    assert not [line for line in arrived if line.startswith("Claim ")], "it is what was wanted"


@pytest.mark.parametrize("seconds", [1, 9, 59, 300, 4000, 90_000, 2_000_000])
def test_a_scale_has_a_few_round_marks(seconds: int) -> None:
    migration = samples.migration(samples.Status(steps=(samples.step("copy", 0, seconds),)))
    found = timeline(account(migration))
    assert found is not None
    assert 2 <= len(found.marks) <= 6
    assert not any(re.search(r"\d\.\d", mark.label) for mark in found.marks)


def test_an_estimate_is_a_range_that_a_limit_of_bandwidth_moves() -> None:
    told = account(samples.planned())
    transfer = samples.DOCUMENT.spec.transfer
    free = estimate(told, transfer)
    limited = estimate(told, transfer.model_copy(update={"bandwidth": "10Mi"}))
    assert free is not None
    assert limited is not None
    assert free.shortest < free.longest
    assert limited.shortest > told.bytes / (10 * 2**20)
    assert "transfer.bandwidth" in limited.assumption


def test_equal_documents_have_equal_digests_whatever_they_leave_to_defaults() -> None:
    spelled = samples.DOCUMENT.model_dump(by_alias=True)
    assert document_digest(samples.Document.model_validate(spelled)) == document_digest(samples.DOCUMENT)
    assert "retries" not in document_text(samples.DOCUMENT)


def test_kinds_are_told_in_words() -> None:
    assert kind_words("hardLinks") == "hard links"
