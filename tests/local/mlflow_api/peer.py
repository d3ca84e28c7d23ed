"""mlflow-export-import itself, the newest release that PyPI has, beside the environment that has MLflow.

Without its own requirements: the release asks for a package of Databricks' whose pins fit no other.
"""

from __future__ import annotations

import subprocess
from functools import cache
from pathlib import Path

from tools import mlflow_servers

RELEASE = "1.2.0"
WHAT = (f"mlflow-export-import=={RELEASE}", "databricks-cli==0.18.0", "tabulate>=0.9")
SECONDS = 180


@cache
def place() -> Path:
    """Where it is installed, once for all runs."""
    python = mlflow_servers.python()
    folder = Path(python).parents[1] / f"mlflow-export-import-{RELEASE}"
    if not (folder / "mlflow_export_import").is_dir():
        argv = (python, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder), *WHAT)
        subprocess.run(argv, check=True, timeout=SECONDS)
    return folder


def run(module: str, server: str, *arguments: str) -> str:
    """One of its programs by module, such as ``bulk.export_experiments``; all that it said."""
    argv = (mlflow_servers.python(), "-m", f"mlflow_export_import.{module}", *arguments)
    variables = mlflow_servers.environment(PYTHONPATH=str(place()), MLFLOW_TRACKING_URI=server)
    done = subprocess.run(argv, check=False, capture_output=True, text=True, timeout=SECONDS, env=variables, cwd="/")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
