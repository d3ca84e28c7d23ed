"""Two servers a session: the source is filled once and only read; targets share one server under renamed names."""

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
    guarded: Server
    population: Population

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(self.target.url)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    os.environ.update(QUIET)
    root: Path = tmp_path_factory.mktemp("mlflow")
    source = Server(root / "source", free_port())
    target = Server(root / "target", free_port(), prefix="/old")
    guarded = Server(root / "guarded", free_port(), auth=True)
    with running(source, target, guarded):
        yield Servers(source, target, guarded, fill(source.url, MlflowClient(source.url)))
