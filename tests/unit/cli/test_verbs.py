from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from project_migration import __version__
from project_migration.backends.local.backend import LocalBackend
from project_migration.cli.cluster import current_namespace
from project_migration.cli.locking import locked
from project_migration.cli.main import cli
from project_migration.model.document import Document
from project_migration.model.errors import Reason
from project_migration.model.labels import RELEASE, RETRY

from . import samples

VERBS = (
    "plan",
    "run",
    "status",
    "watch",
    "report",
    "verify",
    "approve",
    "cancel",
    "retry",
    "rollback",
    "undo",
    "release",
    "expire",
    "forget",
    "explain",
    "crd",
    "completion",
)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return tmp_path / "home" / "project-migration"


@pytest.fixture
def state(own_home: Path, tmp_path: Path) -> Path:
    """A state directory in which somebody may have left a migration."""
    return own_home / "ml-vision"


def keep(state: Path, tmp_path: Path, status: samples.Status | None = None, **spec: object) -> LocalBackend:
    pair = {"name": "data", "source": {"path": f"{tmp_path}/old"}, "target": {"path": f"{tmp_path}/new"}}
    data = {"metadata": {"name": "vision", "namespace": "ml"}, "spec": {"volumes": {"pairs": [pair]}, **spec}}
    backend = LocalBackend(Document.model_validate(data), state)
    if status is not None:
        backend.save(backend.load(backend.key), status)
    return backend


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_teaches_with_an_example(verb: str) -> None:
    result = call(verb, "--help")
    assert result.exit_code == 0
    assert f"project-migration {verb}" in result.output.split("Example", 1)[1]


def test_the_verbs_are_the_documented_ones() -> None:
    assert tuple(cli.commands) == VERBS


def test_both_names_say_the_same_version() -> None:
    assert call("--version").output == f"project-migration, version {__version__}\n"


def test_explain_says_the_remedy_and_what_helps_on_one_machine() -> None:
    result = call("explain", "privilegedenied")
    assert "PrivilegeDenied" in result.output
    assert "privileged-helpers" in result.output
    assert "as root" in result.output


def test_explain_suggests_what_was_meant() -> None:
    result = call("explain", "TargetNotEmty")
    assert (result.exit_code, "did you mean TargetNotEmpty?" in result.stderr) == (1, True)


def test_explain_lists_every_reason() -> None:
    output = call("explain").output
    assert all(f"{reason}: " in output for reason in Reason)


def test_crd_prints_what_kubectl_takes() -> None:
    assert yaml.safe_load(call("crd").output)["kind"] == "CustomResourceDefinition"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_for_this_program(shell: str) -> None:
    output = call("completion", shell).output
    assert "_PROJECT_MIGRATION_COMPLETE" in output
    assert "project-migration" in output


def test_bash_can_read_its_completion() -> None:
    script = call("completion", "bash").output
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize("verb", ["status", "watch", "report", "approve", "cancel", "retry", "release"])
def test_a_directory_without_a_migration_is_said_to_be_that(verb: str, state: Path) -> None:
    result = call(verb, "--state", state)
    assert (result.exit_code, result.stderr.strip()) == (1, f"✗ there is no migration in {state}")


@pytest.mark.parametrize("verb", ["watch", "report", "approve", "cancel", "retry", "release"])
@pytest.mark.parametrize("arguments", [[], ["vision", "--state", "/x"]])
def test_a_migration_is_named_in_one_way(verb: str, arguments: list[str]) -> None:
    result = call(verb, *arguments)
    assert (result.exit_code, "--state DIR" in result.stderr) == (2, True)


def test_without_a_cluster_the_cluster_s_verbs_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    result = call("watch", "vision", "-n", "ml")
    assert (result.exit_code, "there is no way to a cluster" in result.stderr) == (1, True)


def test_the_namespace_is_the_one_of_the_current_context(tmp_path: Path) -> None:
    config = {"current-context": "b", "contexts": [{"name": "a", "context": {"namespace": "no"}},
                                                   {"name": "b", "context": {"namespace": "ml"}}]}  # fmt: skip
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    assert current_namespace(None, {"KUBECONFIG": f"{tmp_path}/missing:{tmp_path}/config"}) == "ml"
    assert current_namespace("a", {"KUBECONFIG": f"{tmp_path}/missing:{tmp_path}/config"}) == "no"
    assert current_namespace(None, {"KUBECONFIG": f"{tmp_path}/missing"}) == "default"


def test_a_context_that_the_kubeconfig_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"current-context": "a", "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
              "clusters": [{"name": "a", "cluster": {"server": "https://127.0.0.1:1"}}],
              "users": [{"name": "a", "user": {}}]}  # fmt: skip
    (tmp_path / "config").write_text(yaml.safe_dump(config))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "config"))
    result = call("watch", "vision", "-n", "ml", "--context", "nowhere")
    assert (result.exit_code, "nowhere" in result.stderr) == (1, True)


def test_status_lists_what_is_kept_here(state: Path, tmp_path: Path) -> None:
    assert "No migration is kept" in call("status").output
    keep(state, tmp_path, samples.at_work().status)
    output = " ".join(call("status").output.split())
    assert "ml/vision Copying 43 % no" in output


def test_status_shows_steps_and_progress(state: Path, tmp_path: Path) -> None:
    keep(state, tmp_path, samples.at_work().status)
    output = call("status", "--state", state).output
    assert "43 %, 36.1 GiB of 59.9 GiB, 220.0 MiB/s" in output
    assert "Deployment web (3): down" in output


def test_status_as_json_is_the_whole_object(state: Path, tmp_path: Path) -> None:
    keep(state, tmp_path, samples.succeeded().status)
    data = json.loads(call("status", "--state", state, "-o", "json").output)
    assert data["metadata"]["name"] == "vision"
    assert data["status"]["phase"] == "Succeeded"
    assert data["status"]["workloads"][0]["replicas"] == 3


@pytest.mark.parametrize(("sample", "code"), [(samples.succeeded, 0), (samples.planned, 0), (samples.failed, 1)])
def test_watching_an_ended_migration_ends_as_it_did(sample, code: int, state: Path, tmp_path: Path) -> None:
    keep(state, tmp_path, sample().status)
    assert call("watch", "--state", state).exit_code == code


def test_looking_changes_nothing(state: Path, tmp_path: Path) -> None:
    backend = keep(state, tmp_path, samples.succeeded().status)
    before = backend.load(backend.key).version
    for verb in ("status", "watch"):
        call(verb, "--state", state)
    call("report", "--state", state, "-o", tmp_path / "r.html")
    assert backend.load(backend.key).version == before


def test_report_writes_where_it_is_told(state: Path, tmp_path: Path) -> None:
    keep(state, tmp_path, samples.succeeded().status)
    result = call("report", "--state", state, "-o", tmp_path / "r.html")
    assert result.output.strip() == str(tmp_path / "r.html")
    assert call("report", "--state", state, "-o", "-").output.strip() == (tmp_path / "r.html").read_text().strip()
    assert call("report", "--state", state, "-o", "/no/such/place/r.html").exit_code == 1


@pytest.mark.parametrize(("verb", "expected"), [("cancel", True), ("release", False)])
def test_a_wish_is_left_to_the_run_that_is_at_work(verb: str, expected: bool, state: Path, tmp_path: Path) -> None:
    backend = keep(state, tmp_path, samples.at_work().status)
    with locked(state):
        result = call(verb, "--state", state)
    assert result.exit_code == 0, result.output
    found = backend.load(backend.key)
    assert found.document is not None
    assert found.document.spec.cancel is expected
    assert (RELEASE in found.annotations) is not expected


def test_only_a_failed_migration_is_retried(state: Path, tmp_path: Path) -> None:
    backend = keep(state, tmp_path, samples.at_work().status)
    result = call("retry", "--state", state)
    assert (result.exit_code, "this one is at work" in result.stderr) == (2, True)
    assert RETRY not in backend.load(backend.key).annotations


def test_what_has_ended_is_not_cancelled(state: Path, tmp_path: Path) -> None:
    keep(state, tmp_path, samples.succeeded().status)
    result = call("cancel", "--state", state)
    assert (result.exit_code, "ended already (Succeeded)" in result.stderr) == (2, True)


@pytest.mark.parametrize(
    ("verb", "words"),
    [
        ("cancel", "ended already (Succeeded): there is nothing to cancel; `undo` takes it back"),
        ("retry", "only a migration that failed can be tried again"),
        ("rollback", "see `undo`"),
        ("undo", "nothing was written to the target"),
        ("expire", "no backup of it is kept"),
        ("approve", "there is nothing to approve"),
    ],
)
def test_what_makes_no_sense_after_a_success_is_refused_and_not_wished(
    state: Path, tmp_path: Path, verb: str, words: str
) -> None:
    status = samples.succeeded().status.model_copy(update={"first_write_at": None, "backup": None})
    keep(state, tmp_path, status)
    result = call(verb, "--state", state)
    assert (result.exit_code, words in result.stderr) == (2, True), result.stderr
    assert not (state / "wishes.json").exists()


def test_backups_of_this_machine_are_removed_when_they_are_due_only(state: Path, tmp_path: Path) -> None:
    keep(state, tmp_path, samples.succeeded().status)
    result = call("expire")
    assert (result.exit_code, "No backup of this machine is due." in result.output) == (0, True)
    assert call("expire", "--now").exit_code == 2, "all of them at once is nobody's wish"


def test_two_runs_of_one_state_directory_do_not_meet(state: Path, tmp_path: Path) -> None:
    text = "\n".join(
        ["metadata: {name: vision, namespace: ml}", "spec:", "  volumes:", "    pairs:",
         f"    - {{name: data, source: {{path: {tmp_path}/old}}, target: {{path: {tmp_path}/new}}}}"]
    )  # fmt: skip
    (tmp_path / "d.yaml").write_text(text)
    with locked(state):
        result = call("run", tmp_path / "d.yaml")
    assert result.exit_code == 1
    assert "is at work on" in result.stderr
    assert "process" in result.stderr


def test_forget_removes_what_is_ours_and_nothing_else(state: Path, tmp_path: Path) -> None:
    keep(state, tmp_path, samples.succeeded().status)
    (state / "notes.txt").write_text("mine")
    assert call("forget", "--state", state).output == "ml/vision is forgotten.\n"
    assert [entry.name for entry in state.iterdir()] == ["notes.txt"]


def test_forget_keeps_a_migration_whose_workloads_are_down(state: Path, tmp_path: Path) -> None:
    keep(state, tmp_path, samples.failed().status)
    result = call("forget", "--state", state)
    assert (result.exit_code, "Deployment web (3) would stay down" in result.stderr) == (1, True)
    assert call("forget", "--state", state, "--force").exit_code == 0
    assert not state.exists()


def test_the_kubectl_plugin_is_the_same_program() -> None:
    program = "import sys; sys.argv = ['/usr/bin/kubectl-project_migration', '--help']; "
    program += "from project_migration.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("Usage: kubectl project-migration ")


def test_looking_at_this_machine_does_not_load_the_cluster_s_client() -> None:
    program = "import sys; import project_migration.cli.main; sys.exit('kubernetes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_an_approval_is_left_to_the_run_that_is_at_work(state: Path, tmp_path: Path) -> None:
    backend = keep(state, tmp_path, samples.at_work().status, cutover={"mode": "Manual"})
    before = backend.load(backend.key)
    with locked(state):
        result = call("approve", "--state", state)
    migration = backend.load(backend.key)
    assert (result.exit_code, "see it with `watch`" in result.output) == (0, True)
    assert migration.document is not None
    assert migration.document.spec.cutover.approved
    assert migration.generation == before.generation + 1


def test_what_waits_for_nobody_cannot_be_approved(state: Path, tmp_path: Path) -> None:
    backend = keep(state, tmp_path, samples.at_work().status)
    result = call("approve", "--state", state)
    assert (result.exit_code, "cutover.mode is Immediate" in result.stderr) == (2, True)
    backend.save(backend.load(backend.key), samples.failed().status)
    assert "there is nothing to approve" in call("approve", "--state", state).stderr


@pytest.mark.parametrize(
    "cutover", [{"mode": "At", "at": "2020-01-01T00:00:00Z"}, {"notAfter": "2020-01-01T00:00:00Z"}]
)
def test_a_cut_over_in_the_past_is_a_wrong_document(cutover: dict[str, str], state: Path, tmp_path: Path) -> None:
    pair = {"name": "data", "source": {"path": f"{tmp_path}/old"}, "target": {"path": f"{tmp_path}/new"}}
    spec = {"volumes": {"pairs": [pair]}, "cutover": cutover}
    (tmp_path / "document.yaml").write_text(
        yaml.safe_dump({"metadata": {"name": "vision", "namespace": "ml"}, "spec": spec})
    )
    result = call("run", tmp_path / "document.yaml", "--state", state)
    assert (result.exit_code, "CutoverInThePast" in result.stderr) == (2, True), result.output
    assert not (state / "state.json").exists()
