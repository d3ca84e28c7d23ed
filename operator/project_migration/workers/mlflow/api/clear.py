"""Worker ``mlflow.api.clear``: removes from the target what this migration made there, known by the tag that says so.

Params: ``target``; ``what``: ``Everything``; or ``Note``, which removes nothing and leaves word of what was done:
``arrived``, digests of the document, as a tag on the experiment with the lowest number that is not deleted. Nothing of
anybody else is touched: an experiment or a model that was there before stays, without what was added to it. A server
keeps deleted experiments and runs until its administrator runs ``mlflow gc``; of them, their names stay taken. A later
migration takes them up again.

Counts: ``experiments``, ``runs``, ``loggedModels``, ``models``, ``versions``, ``traces``, ``evaluationDatasets``,
``failed``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from project_migration.model.records import Record
from project_migration.workers import reasons
from project_migration.workers.harness import Job
from project_migration.workers.mlflow.api import marks
from project_migration.workers.mlflow.api.account import Account
from project_migration.workers.mlflow.api.client import A, B, Client
from project_migration.workers.mlflow.api.endpoint import archive_of
from project_migration.workers.mlflow.api.program import main
from project_migration.workers.mlflow.api.server import EXPERIMENTS_AT_ONCE, Feature, Server, groups
from project_migration.workers.mlflow.api.sides import opened
from project_migration.workers.mlflow.archive import clearing
from project_migration.workers.params import Params

EVERYTHING, NOTE = "Everything", "Note"

KEPT = "deleted experiments and runs stay on the server, and their names taken, until its administrator runs mlflow gc"


def work(job: Job) -> Record:
    params = Params(job.request.params)
    if params.choice("what", (EVERYTHING, NOTE)) == NOTE:
        return _noted(job, params.texts("arrived"))
    account = Account(job)
    root = archive_of(job, "target")
    if root:
        clearing.clear(root, job.request.migration_uid, account)
    else:
        with opened(job, "target") as side:
            if side.server is not None:
                _Clearing(side.server, job.request.migration_uid, account).all()
    counts = dict(account.counts)
    if counts.get("failed"):
        message = f"{counts['failed']} object(s) cannot be removed: {job.lists.say('failed')}"
        return job.record(reason=reasons.COPY_INCOMPLETE, message=message[:1500], counts=counts)
    return job.record(counts=counts, message=KEPT if counts.get("experiments") or counts.get("runs") else "")


def _noted(job: Job, documents: Sequence[str]) -> Record:
    with opened(job, "target") as side:
        active = [one.id for one in side.server.experiments() if one.active] if side.server is not None else []
        if side.server is not None and documents and active:
            key = marks.arrived_key(job.request.namespace, job.request.migration_name)
            body = {"experiment_id": min(active, key=_number), "key": key, "value": " ".join(documents)}
            side.server.client.post(f"{A}/experiments/set-experiment-tag", body)
    return job.record(counts={"unmarked": int(not active)})


def _number(identity: str) -> tuple[int, str]:
    return len(identity), identity


class _Clearing:
    def __init__(self, server: Server, migration: str, account: Account) -> None:
        self._server, self._migration, self._account = server, migration, account

    @property
    def _client(self) -> Client:
        return self._server.client

    def _ours(self, tags: object) -> bool:
        return isinstance(tags, dict) and tags.get(marks.MIGRATION) == self._migration

    def all(self) -> None:
        """Versions first: a server may refuse to delete what they point to. An experiment of ours goes as a whole."""
        self._registry()
        self._datasets()
        experiments = list(self._server.experiments())
        active = [one for one in experiments if one.active]
        foreign = [one.id for one in active if not self._ours(one.tags)]
        for group in groups(foreign, EXPERIMENTS_AT_ONCE):
            self._traces(group)
            self._logged_models(group)
        self._runs(foreign)
        for experiment in active:
            if self._ours(experiment.tags):
                body = {"experiment_id": experiment.id}
                with self._removed("experiments", f"experiment {experiment.name}"):
                    self._client.post(f"{A}/experiments/delete", body)

    def _removed(self, kind: str, what: str) -> _Removed:
        return _Removed(self._account, kind, what)

    def _registry(self) -> None:
        ours = [model for model in self._server.registered_models() if self._ours(model.tags)]
        names = {model.name for model in ours}
        for version in list(self._server.versions()):
            if self._ours(version.tags) and version.model not in names:
                with self._removed("versions", version.title):
                    body = {"name": version.model, "version": str(version.number)}
                    self._client.call("DELETE", f"{A}/model-versions/delete", body=body)
        for model in ours:
            with self._removed("models", model.title):
                self._client.call("DELETE", f"{A}/registered-models/delete", body={"name": model.name})

    def _datasets(self) -> None:
        for dataset in list(self._server.evaluation_datasets()):
            if self._ours(dict(dataset.tags)):
                with self._removed("evaluationDatasets", dataset.title):
                    self._client.call("DELETE", f"{B}/datasets/{dataset.id}")

    def _traces(self, experiments: Iterable[str]) -> None:
        if not self._server.has(Feature.TRACES):
            return
        by_experiment: dict[str, list[str]] = {}
        for trace in self._server.traces(list(experiments), spans=False):
            if self._ours(dict(trace.tags)):
                by_experiment.setdefault(trace.experiment, []).append(trace.id)
        for experiment, ids in by_experiment.items():
            for group in groups(ids, 100):
                with self._removed("traces", f"traces of experiment {experiment}"):
                    body = {"experiment_id": experiment, "request_ids": list(group)}
                    self._client.post(f"{B}/traces/delete-traces", body)

    def _logged_models(self, experiments: Iterable[str]) -> None:
        for model in list(self._server.logged_models(list(experiments))):
            if self._ours(dict(model.tags)):
                with self._removed("loggedModels", model.title):
                    self._client.call("DELETE", f"{A}/logged-models/{model.id}")

    def _runs(self, experiments: list[str]) -> None:
        text = f"tags.`{marks.MIGRATION}` = '{self._migration}'"
        for run in list(self._found(experiments, text)):
            with self._removed("runs", f"run {run}"):
                self._client.post(f"{A}/runs/delete", {"run_id": run})

    def _found(self, experiments: list[str], text: str) -> Iterator[str]:
        return (run.id for run in self._server.runs(experiments, deleted=False, filter_text=text))


class _Removed:
    """Counts what was removed, and names what was not."""

    def __init__(self, account: Account, kind: str, what: str) -> None:
        self._account, self._kind = account, kind
        self._one = account.one(what)
        account.expect(items=1)

    def __enter__(self) -> None:
        self._one.__enter__()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if kind is None:
            self._account.count(self._kind)
        return bool(self._one.__exit__(kind, error, trace))  # type: ignore[arg-type]


if __name__ == "__main__":
    main("clear", __doc__ or "", (), work)
