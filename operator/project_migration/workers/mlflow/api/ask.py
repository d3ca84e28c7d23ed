"""Worker ``mlflow.api.ask``: asks a target's server, which is back at work, for what the proof of its database found.

Params: ``target`` as for ``mlflow.api.copy``, ``workers``, ``waitSeconds`` (how long a server that does not answer is
waited for), ``artifacts`` (the unit that moved files, or null). Reads ``mlflow/proved.db`` and that unit's manifests
in the workspace. Every run and every model
version has to be given, of each run's metrics all points, and a sample of files with the content that was proved.
What users added meanwhile is no fault.

Counts: ``runs``, ``points``, ``versions``, ``filesRead``, ``missing``, ``different``, ``unreadable``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from project_migration.model.records import Compared, Record
from project_migration.workers.harness import Job, WrongRequest
from project_migration.workers.mlflow.api import sampling
from project_migration.workers.mlflow.api.account import Account
from project_migration.workers.mlflow.api.client import Client
from project_migration.workers.mlflow.api.endpoint import Endpoint
from project_migration.workers.mlflow.api.entities import Run
from project_migration.workers.mlflow.api.failures import NOT_SERVED, Refused
from project_migration.workers.mlflow.api.pool import Pool
from project_migration.workers.mlflow.api.program import main
from project_migration.workers.mlflow.api.server import BULK_RUNS, EXPERIMENTS_AT_ONCE, Server
from project_migration.workers.mlflow.api.sides import workers
from project_migration.workers.mlflow.proved import Proved, ProvedRun

#: Seconds between two tries to reach a server that is being started.
PAUSE = 2.0

_FAULTS = ("missing", "different", "unreadable")


@dataclass(frozen=True, slots=True)
class Asking:
    server: Server
    proved: Proved
    account: Account
    pool: Pool


def work(job: Job) -> Record:
    account = Account(job)
    client = Client(Endpoint.from_job(job, "target"), workers(job.request.params) + 1)
    pool = Pool(workers(job.request.params))
    with closing(Proved(job.workspace)) as proved, closing(client), closing(pool):
        asking = Asking(_awaited(client, job), proved, account, pool)
        _runs(asking)
        _versions(asking)
        unit = job.request.params.get("artifacts")
        for expected in sampling.sample(job.workspace, unit, proved) if isinstance(unit, str) else ():
            pool.submit(sampling.read, client, account, expected)
        pool.drain()
        for what in proved.lacking():
            account.name("missing", what)
        return _judge(job, asking)


def _awaited(client: Client, job: Job) -> Server:
    limit = job.request.params.get("waitSeconds")
    if not isinstance(limit, int) or isinstance(limit, bool) or limit < 0:
        raise WrongRequest("params.waitSeconds is no number of seconds")
    until = time.monotonic() + limit
    while True:
        try:
            return Server.reached(client)
        except Refused as refused:
            if not refused.passing or time.monotonic() >= until:
                raise
        time.sleep(PAUSE)


def _runs(asking: Asking) -> None:
    for experiments in asking.proved.experiments(EXPERIMENTS_AT_ONCE):
        runs = asking.server.runs(experiments, deleted=True)
        while group := list(islice(runs, BULK_RUNS)):
            asking.account.expect(items=len(group))
            asking.pool.submit(_group, asking, group)
    asking.pool.drain()


def _group(asking: Asking, group: Sequence[Run]) -> None:
    expected = asking.proved.find_runs([run.id for run in group])
    known = [run for run in group if run.id in expected]
    with_points = [run for run in known if expected[run.id].points]
    histories = asking.server.histories(with_points)
    for run in with_points:
        # one history after another: a long one is counted by pages
        points = sum(
            len(histories[run.id, key])
            if (run.id, key) in histories
            else sum(len(page) for page in asking.server.history(run.id, key))
            for key in run.latest
        )
        _count(asking.account, expected[run.id], points)
    asking.account.count("runs", len(known))
    asking.account.finished(len(group))


def _count(account: Account, expected: ProvedRun, points: int) -> None:
    account.count("pointsProved", expected.points)
    account.count("points", min(points, expected.points))
    if points < expected.points:
        cause = f"{points} points of its metrics are given, its database holds {expected.points}"
        account.name("different", f"run {expected.id}", cause)


def _versions(asking: Asking) -> None:
    for version in asking.server.versions():
        asking.proved.find_version(version.model, int(version.number))
    asking.account.count("versions", asking.proved.counts("versions")[1])


def _judge(job: Job, asking: Asking) -> Record:
    counts = dict(asking.account.counts)
    compared = tuple(_compared(asking, counts))
    wrong = sum(counts.get(kind, 0) for kind in _FAULTS)
    told = {name: number for name, number in counts.items() if name not in ("pointsProved", "filesAsked")}
    if not wrong:
        return job.record(counts=told, compared=compared)
    first = next(kind for kind in _FAULTS if counts.get(kind))
    message = (
        f"target: {asking.server.title} does not give {wrong} object(s) that were proved in its database and its files;"
        f" {first}: {job.lists.say(first)}"
    )
    return job.record(reason=NOT_SERVED, message=message[:1500], counts=told, compared=compared)


def _compared(asking: Asking, counts: dict[str, int]) -> Iterator[Compared]:
    for kind, title in (("runs", "runs"), ("versions", "model versions")):
        proved, found = asking.proved.counts(kind)
        if proved:
            yield Compared(title, proved, found)
    sums = (("points of metrics", "pointsProved", "points"), ("files read", "filesAsked", "filesRead"))
    for title, wanted, given in sums:
        if counts.get(wanted):
            yield Compared(title, counts[wanted], counts.get(given, 0))


if __name__ == "__main__":
    main("ask", __doc__ or "", (), work)
