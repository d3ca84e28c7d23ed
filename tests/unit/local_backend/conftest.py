from __future__ import annotations

import os
import shutil
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from project_migration.backends.local.backend import LocalBackend
from project_migration.engine.effects import HelperSpec, Mount, Rights
from project_migration.engine.world import HelperFacts, Questions
from project_migration.model.document import Document
from project_migration.model.endpoints import Volume
from project_migration.model.records import Request

REPOSITORY = Path(__file__).parents[3]


def document(source: Path, target: Path, **spec: Any) -> Document:
    pair = {"name": "data", "source": {"path": str(source)}, "target": {"path": str(target)}}
    return Document.model_validate(
        {"metadata": {"name": "vision", "namespace": "ml"}, "spec": {"volumes": {"pairs": [pair]}, **spec}}
    )


@pytest.fixture
def old(tmp_path: Path) -> Path:
    (tmp_path / "old").mkdir()
    return tmp_path / "old"


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return tmp_path / "new"


@pytest.fixture
def open_backend(tmp_path: Path, old: Path, new: Path) -> Callable[..., LocalBackend]:
    """A backend as a new process would make it: the same state directory unless another one is named."""

    def make(*bindings: str, state: str = "state", target: Path = new, **spec: Any) -> LocalBackend:
        backend = LocalBackend(document(old, target, **spec), tmp_path / state, bindings, home=tmp_path / "home")
        backend.helpers.package = "tests.unit.local_backend.workers"
        return backend

    return make


@pytest.fixture
def helper_spec(old: Path, new: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., HelperSpec]:
    monkeypatch.setenv("PYTHONPATH", str(REPOSITORY))

    def make(name: str = "copy-data-1-abcd", *, user: int | None = None, group: int | None = None, **params: Any):
        return HelperSpec(
            name=name,
            request=Request("stand_in", "uid", "vision", "ml", "copy", "data", params=params),
            mounts=(
                Mount("source", Volume(path=str(old)), read_only=True),
                Mount("target", Volume(path=str(new)), read_only=False),
            ),
            rights=Rights.NONE,
            user=user,
            group=group,
        )

    return make


@pytest.fixture
def for_everybody() -> Iterator[Path]:
    """A directory that every user may enter; every pytest that starts closes those that pytest makes."""
    with tempfile.TemporaryDirectory(prefix="project-migration-test-") as path:
        Path(path).chmod(0o755)
        yield Path(path)


@pytest.fixture
def python_for_everybody(monkeypatch: pytest.MonkeyPatch) -> str:
    """An interpreter that ordinary users can run too, with our packages: root's own may lie in root's home."""
    packages = os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "operator"), *site.getsitepackages()])
    for found in dict.fromkeys((sys.executable, f"/usr/bin/python3.{sys.version_info.minor}", shutil.which("python3"))):
        probe = [str(found), "-c", "import project_migration.model.document, click, rich"]
        done = (
            subprocess.run(
                probe, user=65534, group=65534, cwd="/", env={"PYTHONPATH": packages}, capture_output=True, check=False
            )
            if found and Path(found).exists() and readable(found)
            else None
        )
        if done is not None and done.returncode == 0:
            monkeypatch.setenv("PYTHONPATH", packages)
            return str(found)
    pytest.skip("no interpreter that an ordinary user can run")


def readable(program: str) -> bool:
    check = "import os, sys; os.setuid(65534); sys.exit(not os.access(sys.argv[1], os.X_OK))"
    return subprocess.run([sys.executable, "-c", check, program], check=False).returncode == 0


def look(backend: LocalBackend) -> dict[str, HelperFacts]:
    return dict(backend.observe(backend.load(backend.key), Questions()).helpers)


def wait_for(condition: Callable[[], Any], seconds: float = 15.0) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"not so within {seconds}s: {condition}")
