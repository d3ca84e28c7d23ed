"""A tracking server's content as large as the one that mlflow-export-import publishes figures of, made by SQL.

249 experiments, 1,770 runs, with metrics that have histories, params, tags and files; or so many as :class:`Size` says.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EXPERIMENTS, RUNS = 249, 1770
#: A run: so many keys of metrics with so many points each, params and tags.
KEYS, POINTS, PARAMS, TAGS = 5, 20, 10, 5
#: Files of each run, in two directories, of so many bytes each.
FILES = ("a.txt", "b.txt", "plots/c.bin", "plots/d.bin")
BYTES = 2048

_FILL = (
    "INSERT INTO experiments (experiment_id, name, workspace, artifact_location, lifecycle_stage)"
    " SELECT {i}, 'experiment ' || {i}, 'default', 'mlflow-artifacts:/' || {i}, 'active' FROM {experiments}",
    "INSERT INTO runs (run_uuid, name, status, lifecycle_stage, artifact_uri, experiment_id, start_time, user_id)"
    " SELECT {id}, 'run ' || {i}, 'FINISHED', 'active', 'mlflow-artifacts:/' || (1 + {i} % {e}) || '/' || {id}"
    " || '/artifacts', 1 + {i} % {e}, 1700000000000 + {i}, 'ann' FROM {runs}",
    "INSERT INTO metrics (key, value, timestamp, step, is_nan, run_uuid)"
    " SELECT 'metric ' || ({i} % {keys}), {i} * 0.37, 1700000000000 + {i}, {i} / {keys} % {points}, {false}, {owner}"
    " FROM {metrics}",
    "INSERT INTO latest_metrics (key, value, timestamp, step, is_nan, run_uuid)"
    " SELECT key, max(value), max(timestamp), max(step), {false}, run_uuid FROM metrics GROUP BY key, run_uuid",
    "INSERT INTO params (key, value, run_uuid) SELECT 'param ' || ({i} % {params_each}), 'value ' || {i}, {param_owner}"
    " FROM {params}",
    "INSERT INTO tags (key, value, run_uuid) SELECT 'tag ' || ({i} % {tags_each}), 'value ' || {i}, {tag_owner}"
    " FROM {tags}",
)


@dataclass(frozen=True)
class Size:
    experiments: int = EXPERIMENTS
    runs: int = RUNS
    points: int = POINTS

    @property
    def metrics(self) -> int:
        return self.runs * KEYS * self.points


def fill(run: Callable[[str], Any], size: Size, *, postgres: bool) -> None:
    def series(count: int) -> str:
        if postgres:
            return f"generate_series(1, {count}) AS n (i)"
        counted = f"WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
        return f"({counted} SELECT i FROM n) AS n"

    def owner(each: int) -> str:
        number = f"(1 + n.i / {each} % {size.runs})"
        return f"lpad(to_hex({number}), 32, '0')" if postgres else f"printf('%032x', {number})"

    words = {
        "i": "n.i",
        "e": size.experiments,
        "id": "lpad(to_hex(n.i), 32, '0')" if postgres else "printf('%032x', n.i)",
        "false": "false" if postgres else "0",
        "keys": KEYS,
        "points": size.points,
        "owner": owner(KEYS * size.points),
        "param_owner": owner(PARAMS),
        "tag_owner": owner(TAGS),
        "params_each": PARAMS,
        "tags_each": TAGS,
        "experiments": series(size.experiments),
        "runs": series(size.runs),
        "metrics": series(size.metrics),
        "params": series(size.runs * PARAMS),
        "tags": series(size.runs * TAGS),
    }
    for statement in _FILL:
        run(statement.format(**words))


def make_files(artifacts: Path, size: Size) -> None:
    """Below the directory that stands for ``mlflow-artifacts:/``."""
    for number in range(1, size.runs + 1):
        place = artifacts / str(1 + number % size.experiments) / f"{number:032x}" / "artifacts"
        (place / "plots").mkdir(parents=True)
        for name in FILES:
            (place / name).write_bytes(f"{number} {name} ".encode().ljust(BYTES, b"x"))
