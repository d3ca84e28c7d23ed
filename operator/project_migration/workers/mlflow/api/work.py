"""What the stages of a copy share."""

from __future__ import annotations

from dataclasses import dataclass

from project_migration.workers.mlflow.api.account import Account
from project_migration.workers.mlflow.api.artifacts import Store
from project_migration.workers.mlflow.api.choices import Choices
from project_migration.workers.mlflow.api.client import Client
from project_migration.workers.mlflow.api.entities import Place, Reader
from project_migration.workers.mlflow.api.failures import ObjectFailed
from project_migration.workers.mlflow.api.ids import IdMap, Shelf
from project_migration.workers.mlflow.api.pool import Pool
from project_migration.workers.mlflow.api.server import Feature, Server
from project_migration.workers.mlflow.api.sides import Side
from project_migration.workers.mlflow.api.transfer import Transfer, Way


class Shelves:
    """Kinds of things that lie on the shelf."""

    #: By id: the source's experiment.
    EXPERIMENT = "experiment"
    #: Experiments of the target that are deleted, as they are to be in the end.
    CLOSED = "closed"
    #: By name: the target's experiment.
    EXPERIMENT_THERE = "experiment there"
    MODEL = "model"
    VERSION = "version"
    MODEL_THERE = "model there"
    VERSION_THERE = "version there"
    #: By the run that made them, with the model's id as the part.
    LOGGED_MODEL = "logged model"
    #: Of runs, by the source's id.
    LATER = "later"
    #: Metrics of logged models that other runs than their own logged, by that run.
    STRAY = "stray"
    #: By name, what a look at the source told.
    FACTS = "facts"
    #: Runs and experiments of the target that are deleted when all is written.
    DELETE_RUN = "delete run"
    DELETE_EXPERIMENT = "delete experiment"
    TRACE_THERE = "trace there"
    FOLDERS = "folders"


@dataclass(frozen=True, slots=True)
class Work:
    choices: Choices
    source: Side
    target: Side
    ids: IdMap
    shelf: Shelf
    account: Account
    pool: Pool
    transfer: Transfer

    @property
    def reader(self) -> Reader:
        return self.source.reader

    @property
    def server(self) -> Server:
        if self.target.server is None:
            raise TypeError("this side is an archive")
        return self.target.server

    @property
    def client(self) -> Client:
        return self.server.client

    @property
    def migration(self) -> str:
        return self.choices.migration

    def lacks(self, feature: Feature) -> None:
        """Raises :class:`ObjectFailed` for an object that the target's release does not know."""
        if not self.server.has(feature):
            raise ObjectFailed(f"the target is MLflow {self.server.release.text}, which has no {feature.title}")

    def way(self, here: Place, there: Place) -> Way:
        stores: tuple[Store, Store] = (self.source.store(here), self.target.store(there, write=True))
        return Way(*stores, here, there)
