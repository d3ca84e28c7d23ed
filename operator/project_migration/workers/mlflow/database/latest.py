"""Latest metrics against the metrics that they are derived from.

MLflow keeps per run and key the metric with the greatest step, then timestamp, then value
(``mlflow/store/tracking/sqlalchemy_store.py``, ``_update_latest_metrics_if_necessary``).
"""

from __future__ import annotations

from collections.abc import Iterator

from project_migration.workers.mlflow.database.arrangement import Arrangement
from project_migration.workers.mlflow.database.revisions import Order, order
from project_migration.workers.mlflow.database.store import KEYS_AT_ONCE, Store, batches
from project_migration.workers.mlflow.database.tables import Kind

#: The revision that brought the index over run, key and step (MLflow 3.12).
INDEXED_SINCE = "7d34483879f0"

_STALE = """
SELECT count(*) FROM {latest} AS l WHERE EXISTS (
    SELECT 1 FROM {metrics} AS m WHERE m.run_uuid = l.run_uuid AND m.{key} = l.{key} AND m.step >= l.step
       AND (m.step > l.step OR m.timestamp > l.timestamp))
"""


def stale(store: Store, arrangement: Arrangement) -> int:
    """Latest metrics of the runs in question that a later one stands beside."""
    if order(store.schema.revision, INDEXED_SINCE) is Order.OLDER:
        return 0  # without an index the question costs more than the copy
    statement = _STALE.format(
        latest=store.place("latest_metrics"), metrics=store.place("metrics"), key=store.quote("key")
    )
    if arrangement.summary.whole:
        return int(store.rows(statement)[0][0])
    return sum(_of_runs(store, arrangement, statement))


def _of_runs(store: Store, arrangement: Arrangement, statement: str) -> Iterator[int]:
    for runs in batches(arrangement.lists.ids(Kind.RUN), KEYS_AT_ONCE):
        marks = ", ".join("?" * len(runs))
        yield int(store.rows(f"{statement} AND l.run_uuid IN ({marks})", *runs)[0][0])
