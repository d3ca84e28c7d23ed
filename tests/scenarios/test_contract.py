"""The fake keeps the promises that every backend makes: what is proved against it holds elsewhere."""

from __future__ import annotations

import pytest

from project_migration.backends.fake import FakeBackend
from project_migration.engine.effects import HelperSpec, Mount, Rights
from project_migration.engine.names import WorkloadRef
from project_migration.model.document import WorkloadKind
from project_migration.model.endpoints import Volume
from project_migration.model.records import Request
from tests.contract import BackendContract, Surroundings

from .surroundings import WEB, a_cluster, a_document


class TestFake(BackendContract):
    @pytest.fixture
    def around(self) -> Surroundings:
        cluster = a_cluster()
        key = cluster.add(a_document())
        request = Request("survey", cluster.migrations[key].uid, key.name, key.namespace, "preflight", "data")
        volume = Volume(claim_name="data-old")
        helper = HelperSpec("preflight-data-1-x", request, (Mount("source", volume, True),), Rights.NONE)
        return Surroundings(
            backend=FakeBackend(cluster),
            key=key,
            present=volume,
            absent=Volume(claim_name="nowhere"),
            workload=WEB,
            replicas=3,
            no_workload=WorkloadRef(WorkloadKind.DEPLOYMENT, "ghost"),
            helper=helper,
            wait=cluster.tick,
        )
