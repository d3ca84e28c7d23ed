"""What people read of a database: rows, not objects, and where it goes from and to."""

from __future__ import annotations

from project_migration.model.document import Document
from project_migration.model.status import Status
from project_migration.observing.report.account import account
from project_migration.observing.report.estimate import estimate
from project_migration.observing.report.words import pair_sentence
from tests.unit.cli.samples import migration, step, unit
from tests.unit.model.test_database_rules import a_database

DOCUMENT = Document.model_validate(
    {
        "metadata": {"name": "shop", "namespace": "ml"},
        "spec": {"volumes": {"databases": [a_database(tables={"exclude": ["log"]}, excludeTableData=["audit"])]}},
    }
)


def told(rows: int) -> Status:
    counts = {"tables": 3, "rows": rows, "bytes": 10 * 2**20, "sequences": 1}
    return Status(steps=(step("preflight", 1, 3, units=(unit("shop", 1, 2, counts=counts),)),))


def test_a_database_is_told_by_its_rows() -> None:
    [found] = account(migration(told(1_234_567), DOCUMENT)).pairs
    assert (found.source, found.target) == ("postgres db.old:5432/shop", "postgres db.new:5432/shop")
    assert found.exclude == ("log", "audit")
    assert dict(found.kinds) == {"tables": 3, "rows": 1_234_567, "sequences": 1}
    assert pair_sentence(found) == "1,234,567 rows, 10.0 MiB"


def test_rows_are_not_reckoned_as_files() -> None:
    few, many = (
        estimate(account(migration(told(rows), DOCUMENT)), DOCUMENT.spec.transfer) for rows in (10, 100_000_000)
    )
    assert few is not None
    assert many is not None
    assert many.longest == few.longest
