"""Worker ``mlflow.api.copy``: moves what is selected from a server or an archive to a server, or to an archive.

Params: ``source``, ``target`` (``{trackingUri, insecureSkipVerify, workspace, artifacts: {root, uri}}`` or
``{archive: {root}}``), ``select``, ``rename``, ``onConflict``, ``workers``, ``bandwidth`` (bytes a second).
Roots: ``source-credentials``, ``target-credentials`` (``username`` and ``password``, or ``token``), ``source-ca``,
``target-ca`` (``ca.crt``), all optional.

Counts: what was made by kind (``experiments``, ``runs``, ``metrics``, ``loggedModels``, ``models``, ``versions``,
``prompts``, ``promptVersions``, ``traces``, ``spans``, ``evaluationDatasets``, ``records``, ``scorers``, ``files``,
``bytes``), what was there (the same with ``There``), ``failed``, ``missing``, ``skipped``, ``notPreserved``. The map
from source to target is ``mlflow/map.sqlite`` in the workspace.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from project_migration.model.records import Record
from project_migration.workers import reasons
from project_migration.workers.harness import Job
from project_migration.workers.mlflow.api import (
    evaluation,
    experiments,
    failures,
    finishing,
    logged_models,
    registry,
    runs,
    traces,
)
from project_migration.workers.mlflow.api.account import Account
from project_migration.workers.mlflow.api.choices import Choices
from project_migration.workers.mlflow.api.ids import IdMap, Kind, Shelf
from project_migration.workers.mlflow.api.pool import Pool
from project_migration.workers.mlflow.api.program import main
from project_migration.workers.mlflow.api.sides import Side, opened, refuse_two_archives, workers
from project_migration.workers.mlflow.api.transfer import Transfer
from project_migration.workers.mlflow.api.work import Shelves, Work
from project_migration.workers.mlflow.archive import writer
from project_migration.workers.mlflow.selection import MissingArtifacts, WithRuns
from project_migration.workers.pace import Pace
from project_migration.workers.roots import scratch, sync
from project_migration.workers.tree import open_root

#: Of an object, as the interface sets them itself; kept as tags.
NOT_KEPT = "ids of experiments, runs and logged models; times of creation; kept as tags"


def work(job: Job) -> Record:
    choices = Choices.from_job(job)
    refuse_two_archives(job)
    account = Account(job, Pace(choices.bandwidth))
    with opened(job, "source") as source, opened_target(job) as target, scratch(job) as directory:
        if source.archive is not None:
            source.archive.on_broken = account.broken
        if target is None:
            writer.write(job, choices, source, account, directory)
        else:
            with working(job, choices, source, target, account, directory) as at_work:
                stages(at_work)
    _synced(job)
    return judge(job, account)


@contextmanager
def opened_target(job: Job) -> Iterator[Side | None]:
    """None where the target is an archive, which need not be one yet."""
    if writer.directory(job):
        yield None
        return
    with opened(job, "target") as side:
        yield side


@contextmanager
def working(
    job: Job, choices: Choices, source: Side, target: Side, account: Account, directory: Path
) -> Iterator[Work]:
    ids = IdMap(job.workspace / "mlflow" / "map.sqlite")
    shelf = Shelf(directory / "shelf.sqlite")
    pool = Pool(workers(job.request.params))
    allow_missing = choices.selection.missing_artifacts is MissingArtifacts.ALLOW
    try:
        ids.forget()
        transfer = Transfer(account, ids, allow_missing=allow_missing)
        yield Work(choices, source, target, ids, shelf, account, pool, transfer)
    finally:
        pool.close()
        ids.close()
        shelf.close()


def stages(work: Work) -> None:
    """The order follows from who names whom: runs name experiments, models runs, versions models, traces both."""
    experiments.look(work)
    experiments.prepare(work)
    if work.choices.selection.models.with_runs is WithRuns.ALL:
        _experiments_of_versions(work)
    experiments.runs_there(work)
    logged_models.look(work)
    runs.copy_all(work)
    registry.look(work)
    if work.choices.selection.models.with_runs is not WithRuns.NONE:
        _runs_of_versions(work)
    logged_models.copy_rest(work)
    finishing.links(work)
    registry.copy_all(work)
    traces.copy_all(work)
    evaluation.datasets(work)
    evaluation.scorers(work)
    finishing.deletions(work)
    if not any(work.ids.count(kind) for kind in (Kind.EXPERIMENT, Kind.MODEL)) and not work.account.counts["failed"]:
        raise failures.Refused(failures.NOTHING_SELECTED, "the selection matches no experiment and no model")


def _experiments_of_versions(work: Work) -> None:
    registry.look(work)
    for identity in registry.runs_needed(work):
        run = work.reader.run(identity)
        if run is not None:
            _add(work, run.experiment)


def _add(work: Work, identity: str) -> None:
    """An experiment that is not selected, but that a run or a logged model which moves is in."""
    experiment = work.shelf.get(Shelves.EXPERIMENT, identity)
    if experiment is None or work.ids.target(Kind.EXPERIMENT, identity):
        return
    work.account.expect(items=1)
    experiments.ensure(work, experiment)
    there = work.ids.get(Kind.EXPERIMENT, identity)
    if there is not None and there.state == experiments.THERE:
        experiments.runs_of(work, [there.target])
        logged_models.look_there(work, [there.target])


def _runs_of_versions(work: Work) -> None:
    """Runs and logged models of chosen versions that are in no selected experiment, each looked up by itself."""
    for identity in registry.logged_models_needed(work):
        model = work.reader.logged_model(identity)
        if model is not None:
            _add(work, model.experiment)
            logged_models.shelve(work, model)
    for identity in registry.runs_needed(work):
        run = work.reader.run(identity)
        if run is not None:  # the version that needs it is named otherwise, if it cannot be without
            _add(work, run.experiment)
            runs.copy_some(work, iter([run]))
    work.pool.drain()


def _synced(job: Job) -> None:
    """What was written into mounted directories is on their disks before the record says so."""
    params = job.request.params.get("target") or {}
    for kind in ("artifacts", "archive"):
        root = (params.get(kind) or {}).get("root")
        if root:
            descriptor = open_root(job.root(root))
            try:
                sync(descriptor)
            finally:
                os.close(descriptor)


def judge(job: Job, account: Account) -> Record:
    counts = dict(account.counts)
    lost = counts.get("failed", 0)
    facts = {"notKept": {"always": NOT_KEPT, "objects": counts.get("notPreserved", 0)}}
    if lost:
        message = f"{lost} object(s) did not move: {job.lists.say('failed')}"
        return job.record(reason=reasons.COPY_INCOMPLETE, message=message[:1500], counts=counts, facts=facts)
    return job.record(counts=counts, facts=facts)


if __name__ == "__main__":
    main("copy", __doc__ or "", (), work)
