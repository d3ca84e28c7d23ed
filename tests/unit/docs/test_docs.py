"""What the documentation says is there, is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from project_migration.model.errors import REMEDIES, Reason
from project_migration.workers import reasons
from project_migration.workers.mlflow.database import failures as of_mlflow
from project_migration.workers.postgres import failures, requirements

ROOT = Path(__file__).resolve().parents[3]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def test_every_reason_has_a_remedy_and_its_line_in_the_docs() -> None:
    assert set(REMEDIES) == set(Reason)
    page = (ROOT / "docs/failure-reasons.md").read_text()
    assert [reason for reason in Reason if f"`{reason}`" not in page] == []


def test_every_reason_that_a_helper_gives_is_known() -> None:
    given = {
        value
        for module in (reasons, failures, of_mlflow)
        for name, value in vars(module).items()
        if name.isupper() and not name.startswith("_") and isinstance(value, str)
    }
    given |= {requirements.ENCODING_DIFFERS, requirements.COLLATION_DIFFERS}
    assert given - {str(reason) for reason in Reason} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_paths_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_make_target_that_is_mentioned_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    mentioned = {found for page in PAGES for found in re.findall(r"`make ([a-z-]+)`", page.read_text())}
    assert mentioned <= targets, mentioned - targets


def test_every_test_that_the_features_name_exists() -> None:
    rows = (ROOT / "docs/features.md").read_text()
    named = set(re.findall(r"`(tests/[^`]+)`", rows))
    assert named
    for name in named:
        path, _, test = name.partition("::")
        assert (ROOT / path).exists(), name
        assert not test or f"def {test}" in (ROOT / path).read_text(), name
