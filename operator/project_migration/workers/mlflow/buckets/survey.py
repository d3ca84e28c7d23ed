"""Looks at the files of both tracking servers, where one side at least is a bucket, and writes to neither."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from project_migration.model.records import Progress, Record
from project_migration.workers import survey as of_trees
from project_migration.workers.harness import Job, main
from project_migration.workers.mlflow.buckets import opening
from project_migration.workers.mlflow.buckets.bucket import Bucket
from project_migration.workers.mlflow.buckets.opening import Effort
from project_migration.workers.roots import scratch

HELP = """\
Looks at the files of both tracking servers. facts.source and facts.target are as those of the survey of two trees; of a
bucket they have what it has. A bucket that is missing, out of reach, or closed to us fails the record.

roots, params: as mlflow.buckets.copy
"""


def look(job: Job) -> Record:
    effort = Effort.of(job)
    facts: dict[str, dict[str, Any]] = {}
    counts: dict[str, int] = {}
    # of another name than the one that the survey of two trees has for itself
    with scratch(replace(job, request=replace(job.request, unit=f"{job.request.unit}-nothing"))) as nothing:
        for side in (opening.SOURCE, opening.TARGET):
            if opening.is_bucket(job, side):
                continue
            # a survey of two trees of which one is an empty directory says all of the other
            other = {opening.SOURCE: {}, opening.TARGET: {opening.SOURCE: str(nothing)}}[side]
            roots = {**other, side: job.root(side), "workspace": job.request.roots["workspace"]}
            record = of_trees.survey(replace(job, request=replace(job.request, roots=roots)))
            if not record.succeeded:
                return record
            facts[side] = dict(record.facts[side])
            counts |= dict(record.counts)
    if opening.is_bucket(job, opening.SOURCE):
        facts[opening.SOURCE] = _source(job, effort)
        counts |= {name: facts[opening.SOURCE][name] for name in ("entries", "files", "bytes", "diskBytes")}
    if opening.is_bucket(job, opening.TARGET):
        facts[opening.TARGET] = _target(job, effort)
        counts["targetEmpty"] = int(facts[opening.TARGET]["held"] == 0)
    return job.record(counts=counts, facts=facts)


def _source(job: Job, effort: Effort) -> dict[str, Any]:
    files = size = 0
    with opening.source(job, effort) as place:
        place.check()
        for item in place.items():
            files += 1
            size += item.size
            job.tell(Progress(size, size, files, files))
    return {"exists": True, "isDirectory": True, "entries": files, "files": files, "bytes": size, "diskBytes": size}


def _target(job: Job, effort: Effort) -> dict[str, Any]:
    with opening.target(job, effort) as place:
        assert isinstance(place, Bucket)  # noqa: S101 - asked for such a target only
        place.check()
        place.check_writable()
        held, arrived = int(place.holds_anything()), " ".join(place.arrived())
        return {"exists": True, "isDirectory": True, "held": held, "arrived": arrived}


if __name__ == "__main__":
    main("mlflow.buckets.survey", HELP, (), look)
