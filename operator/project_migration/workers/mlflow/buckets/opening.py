"""Source and target of a request, each a directory or a bucket.

``params.source`` and ``params.target`` are a bucket's ``{bucket, prefix, endpointUrl, region, insecureSkipVerify}``;
where one is left out, the request's root of that name is a directory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from project_migration.workers.harness import Job, WrongRequest
from project_migration.workers.mlflow.buckets.bucket import Address, Bucket
from project_migration.workers.mlflow.buckets.directory import Directory
from project_migration.workers.mlflow.buckets.items import Place
from project_migration.workers.params import Params
from project_migration.workers.reserved import owner_prefix
from project_migration.workers.roots import open_source, open_target

SOURCE, TARGET = "source", "target"

#: Files under way at a time, of which each has a part in memory.
MOST_THREADS = 32


@dataclass(frozen=True)
class Effort:
    threads: int
    params: Params = field(repr=False)

    @classmethod
    def of(cls, job: Job) -> Effort:
        params = Params(job.request.params)
        return cls(min(MOST_THREADS, params.effort.workers), params)


def is_bucket(job: Job, side: str) -> bool:
    return job.request.params.get(side) is not None


@contextmanager
def source(job: Job, effort: Effort) -> Iterator[Place]:
    if is_bucket(job, SOURCE):
        yield _bucket(job, SOURCE, effort)
        return
    root = open_source(job)
    try:
        yield Directory(SOURCE, root, owner_prefix(job.request.migration_uid), effort.params.selection(None))
    finally:
        os.close(root)


@contextmanager
def target(job: Job, effort: Effort, *, make: bool = False) -> Iterator[Place]:
    if is_bucket(job, TARGET):
        yield _bucket(job, TARGET, effort)
        return
    root = open_target(job, make=make)
    try:
        yield directory_of(job, effort, root)
    finally:
        os.close(root)


def directory_of(job: Job, effort: Effort, root: int) -> Directory:
    prefix = owner_prefix(job.request.migration_uid)
    return Directory(TARGET, root, prefix, effort.params.selection(None), effort.params.ownership)


def _bucket(job: Job, side: str, effort: Effort) -> Bucket:
    data = job.request.params.get(side)
    if not isinstance(data, Mapping):
        raise WrongRequest(f"params.{side} does not name a bucket")
    return Bucket(Address.read(job, side, data), job.request.migration_uid, effort.threads)
