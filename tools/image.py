"""Builds the image: with docker where its engine runs, else with buildah (on a base made from Debian's packages)."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TAG = "project-migration-operator:latest"


def main() -> int:
    docker = shutil.which("docker")
    if docker and subprocess.run((docker, "info"), capture_output=True, check=False).returncode == 0:
        return subprocess.run((docker, "build", "--tag", TAG, str(ROOT)), check=False).returncode
    from tests.cluster.node import build

    print(*build.ensure())
    return 0


if __name__ == "__main__":
    sys.exit(main())
