"""Properties are tried on the same examples every time, so that a change is judged by itself.

``HYPOTHESIS_PROFILE=explore`` looks for new ones, twenty times as many, with a seed that pytest prints.

With several workers, tests that share what is slow to make go to one of them, and first.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("steady", derandomize=True, deadline=None, max_examples=300)
settings.register_profile("explore", deadline=None, max_examples=6_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

#: Folders and files whose tests share servers, installations or an operator at rest.
TOGETHER = (
    "tests/local/mlflow",  # a set of tracking servers takes half a minute of a processor
    "tests/local/mlflow_api",
    "tests/cluster/backend",
    "tests/cluster/test_cdsw.py",
    "tests/cluster/test_chart.py",
    "tests/cluster/test_databases.py",
    "tests/cluster/test_mlflow.py",
)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling  # only when there are several workers

    class ByServers(LoadScopeScheduling):
        """Every test by itself but those; what is largest goes first."""

        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.partition("::")[0]
            return next((place for place in TOGETHER if file == place or file.startswith(f"{place}/")), nodeid)

    return ByServers(config, log)
