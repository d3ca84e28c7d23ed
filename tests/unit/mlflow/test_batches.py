"""What one call holds."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from project_migration.workers.mlflow.api.runs import batches


@given(st.integers(0, 3500), st.integers(0, 350), st.integers(0, 350), st.booleans())
def test_batches_hold_everything_once_within_the_servers_limits(
    metrics: int, params: int, tags: int, sealed: bool
) -> None:
    points: list[dict[str, Any]] = [{"key": str(i)} for i in range(metrics)]
    left = iter(points)

    def last() -> dict[str, str]:
        assert next(left, None) is None, "asked for before all points were sent"
        return {"seal": "x"} if sealed else {}

    wanted = {f"p{i}": "" for i in range(params)}, {f"t{i}": "" for i in range(tags)}
    found = list(batches(left, *wanted, last))
    for batch in found:
        assert len(batch["params"]) <= 100
        assert len(batch["tags"]) <= 100
        assert 0 < sum(map(len, batch.values())) <= 1000
    assert points == [point for batch in found for point in batch["metrics"]]
    assert list(wanted[0]) == [one["key"] for batch in found for one in batch["params"]]
    expected = [*wanted[1], "seal"] if sealed else list(wanted[1])
    assert expected == [one["key"] for batch in found for one in batch["tags"]]
