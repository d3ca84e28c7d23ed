"""Four servers a session: the source is filled once and only read, the others are targets, one behind a login."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.local.mlflow_api.population import Population, fill
from tests.local.mlflow_api.servers import QUIET, Server, free_port, running


@dataclass(frozen=True)
class Servers:
    source: Server
    target: Server
    second: Server
    guarded: Server
    population: Population

    @property
    def second_client(self) -> MlflowClient:
        return MlflowClient(self.second.url)

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.target.url)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    os.environ.update(QUIET)
    root: Path = tmp_path_factory.mktemp("mlflow")
    source = Server(root / "source", free_port())
    target = Server(root / "target", free_port(), prefix="/old")
    second = Server(root / "second", free_port())
    guarded = Server(root / "guarded", free_port(), auth=True)
    with running(source, target, second, guarded):
        yield Servers(source, target, second, guarded, fill(source.url, MlflowClient(source.url)))
