"""Every way in which a document can be wrong ends with exit code 2 and names the place."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from project_migration.cli.main import cli

HEAD = "apiVersion: migration.mlops.dev/v1alpha1\nkind: ProjectMigration\nmetadata: {name: vision}\n"
PAIR = "{name: data, source: {path: /srv/old}, target: {path: /srv/new}}"
GOOD = HEAD + f"spec: {{volumes: {{pairs: [{PAIR}]}}}}\n"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))


def run(text: str | bytes, tmp_path: Path, *options: str, verb: str = "run") -> Result:
    path = tmp_path / "document.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return CliRunner().invoke(cli, [verb, str(path), *options])


@pytest.mark.parametrize("verb", ["run", "plan"])
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("# nothing\n", "the file is empty"),
        (GOOD + "---\n" + GOOD, "the file holds 2 documents"),
        ("- a\n- b\n", "the document is not a mapping"),
        ("a: [1\nb: 2\n", "line 2, column 2: not YAML"),
        ("a: 'x\n", "line 2"),
        ("a: 1\nb: 2\na: 3\n", "line 3: a is given twice (first in line 1)"),
        (HEAD + "spec:\n  retries: 1\n  retries: 2\n", "line 6: retries is given twice (first in line 5)"),
        (b"a: \xff\xfe\n", "not text in UTF-8"),
        ("a: \x07\n", "not YAML"),
        (GOOD.replace("kind: ProjectMigration", "kind: Deployment"), "kind: 'Deployment'"),
        (GOOD.replace("v1alpha1", "v9"), "apiVersion: "),
        (HEAD, "spec: the field is missing"),
        (GOOD.replace("spec: {", "spec: {retrys: 3, "), "spec.retrys: there is no such field; did you mean retries?"),
        (GOOD.replace("spec: {", "spec: {transfer: {workers: 0}, "), "spec.transfer.workers: "),
        (GOOD.replace("spec: {", "spec: {transfer: {bandwidth: fast}, "), "spec.transfer.bandwidth: "),
        (GOOD.replace("/srv/new", "new"), "spec.volumes.pairs[0].target.path: 'new' is not absolute"),
        (GOOD.replace("/srv/new", "/srv/old/new"), "spec.volumes.pairs[0].target: "),
        (GOOD.replace("{path: /srv/new}", "{}"), "spec.volumes.pairs[0].target: give either claimName or path"),
        (GOOD.replace("spec: {", "spec: {ownership: {mode: Set}, "), "spec.ownership: mode Set needs uid and gid"),
        (GOOD.replace("spec: {", "spec: {cml: {}, "), "spec.cml: NotSupportedYet"),
        (
            GOOD.replace("{path: /srv/new}", "{claimName: data-new}"),
            "spec.volumes.pairs[0].target.claimName: this machine has no claim data-new",
        ),
    ],
)
def test_a_wrong_document_ends_with_2_and_names_the_place(
    text: str | bytes, said: str, verb: str, tmp_path: Path
) -> None:
    result = run(text, tmp_path, verb=verb)
    assert result.exit_code == 2, result.output
    assert said in " ".join(result.stderr.split())
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "home" / "project-migration" / "default-vision").exists(), "nothing is left behind"


def test_every_problem_is_a_line(tmp_path: Path) -> None:
    result = run(GOOD.replace("spec: {", "spec: {retries: 99, suspend: 7, "), tmp_path)
    fields = [line.split(":")[0] for line in result.stderr.splitlines()]
    assert fields == ["✗ spec.retries", "✗ spec.suspend"]


def test_a_value_that_looks_like_markup_is_shown_as_it_is(tmp_path: Path) -> None:
    result = run(GOOD.replace("spec: {", "spec: {mode: '[bold]x[/bold]', "), tmp_path)
    assert "[bold]x[/bold]" in result.stderr


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["run", str(tmp_path / "nope.yaml")])
    assert (result.exit_code, "nope.yaml cannot be read: No such file" in result.stderr) == (2, True)


def test_a_huge_file_is_refused_before_it_is_parsed(tmp_path: Path) -> None:
    assert "larger than 1 MiB" in run("a" * 2_000_000, tmp_path).stderr


def test_a_document_is_read_from_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = io.BytesIO(GOOD.replace("spec: {", "spec: {retries: 99, ").encode())
    result = CliRunner().invoke(cli, ["run", "-"], input=wrong.read())
    assert (result.exit_code, "spec.retries" in result.stderr) == (2, True)


def test_a_binding_that_is_wrong_ends_with_2(tmp_path: Path) -> None:
    result = run(GOOD, tmp_path, "--bind", "claim/nobody=/srv")
    assert (result.exit_code, "--bind claim/nobody: the document names no such claim" in result.stderr) == (2, True)
