from __future__ import annotations

import os
import sys

import pytest

from .conftest import for_everybody
from .test_helpers import Open, Spec, finished, start

tmp_path = for_everybody

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a helper as somebody else")


def test_root_runs_a_helper_as_the_user_that_the_document_names(
    open_backend: Open, helper_spec: Spec, python_for_everybody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", python_for_everybody)
    backend, spec = open_backend(), helper_spec(user=4711, group=4712)
    start(backend, spec)
    facts = finished(backend, spec.name)
    assert facts.record is not None, facts.failure
    written = (backend.state.workspace / "mine").stat()
    assert (written.st_uid, written.st_gid) == (4711, 4712)


def test_a_state_directory_that_the_helper_cannot_enter_is_named(
    open_backend: Open, helper_spec: Spec, python_for_everybody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", python_for_everybody)
    backend, spec = open_backend(), helper_spec(user=4711)
    backend.state.path.chmod(0o700)
    start(backend, spec)
    failure = finished(backend, spec.name).failure
    assert failure is not None
    assert "--state DIR" in failure.message
