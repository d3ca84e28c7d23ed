"""Helm, for the tests of the chart."""

import os
from pathlib import Path

from tests.cluster.node.program import go
from tests.cluster.node.shell import run, step
from tests.cluster.node.store import digest, once

VERSION = "v4.3.1"


def ensure() -> Path:
    """The program, built on first use."""

    def make(folder: Path) -> None:
        env = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOBIN": str(folder)}
        package = f"helm.sh/helm/v4/cmd/helm@{VERSION}"
        with step(f"building helm {VERSION}", slow="some three minutes on two cores"):
            run("nice", go(), "install", "-trimpath", "-ldflags=-s -w", package, env=env, timeout=3600)

    return once("helm", digest([VERSION]), make) / "helm"
