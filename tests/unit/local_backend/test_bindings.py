from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from project_migration.backends.local.backend import LocalBackend
from project_migration.backends.local.bindings import Bindings, Means, check
from project_migration.engine.effects import HelperSpec, Rights
from project_migration.engine.names import WorkloadRef
from project_migration.engine.world import Questions
from project_migration.model.document import Document, WorkloadKind
from project_migration.model.errors import DocumentError
from project_migration.model.records import Request
from project_migration.platforms.volumes.databases import surveys


def claims(old: str = "data-old", new: str = "data-new", **spec: Any) -> Document:
    pair = {"name": "data", "source": {"claimName": old}, "target": {"claimName": new}}
    return Document.model_validate({"metadata": {"name": "vision"}, "spec": {"volumes": {"pairs": [pair]}, **spec}})


def problems(document: Document, *texts: str) -> tuple[str, ...]:
    return check(document, Bindings.parse(texts))


def refused(*texts: str) -> tuple[str, ...]:
    with pytest.raises(DocumentError) as caught:
        Bindings.parse(texts)
    return caught.value.problems


def test_a_claim_that_is_not_bound_is_named_with_the_option_that_binds_it() -> None:
    (found,) = problems(claims(), "claim/data-old=/srv/old")
    assert found.startswith("spec.volumes.pairs[0].target.claimName: ")
    assert "--bind claim/data-new=DIRECTORY" in found


def test_a_workload_that_is_not_bound_is_named_with_the_option_that_binds_it() -> None:
    document = claims(quiesce={"workloads": [{"kind": "StatefulSet", "name": "db", "side": "Source"}]})
    (found,) = problems(document, "claim/data-old=/srv/old", "claim/data-new=/srv/new")
    assert found.startswith("spec.quiesce.workloads[0]: ")
    assert "--bind statefulset/db=" in found


def test_a_binding_that_nothing_in_the_document_asks_for_is_an_error() -> None:
    bound = ("claim/data-old=/srv/old", "claim/data-new=/srv/new")
    found = problems(claims(), *bound, "claim/typo=/srv", "deployment/web=none")
    assert [problem.split(":")[0] for problem in found] == ["--bind claim/typo", "--bind deployment/web"]


def test_the_workspace_claim_may_be_bound(tmp_path: Path) -> None:
    document = claims(workspace={"claimName": "work"})
    (tmp_path / "old").mkdir()
    (tmp_path / "large").mkdir()
    texts = [f"claim/{name}={tmp_path}/{path}" for name, path in
             (("data-old", "old"), ("data-new", "new"), ("work", "large"))]  # fmt: skip
    backend = LocalBackend(document, tmp_path / "state", texts, home=tmp_path / "home")
    assert backend.helpers.workspace == tmp_path / "large"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("claim/data-old", "KIND/NAME=VALUE"),
        ("pod/web=none", "there is no kind 'pod'"),
        ("deployment/web=podman/web", "compose/SERVICE"),
        ("deployment/web=exec//no/such/program", "not a program"),
        ("deployment/web=compose/web@/no/such/directory", "there is no directory"),
        ("secret/db=/no/such/directory", "there is no directory"),
    ],
)
def test_a_binding_that_cannot_work_says_why(text: str, word: str) -> None:
    (found,) = refused(text)
    assert found.startswith(f"--bind {text}: ")
    assert word in found


def test_every_wrong_binding_is_reported_at_once() -> None:
    assert len(refused("claim/a", "pod/b=none", "claim/c=/c", "claim/c=/d")) == 3


def test_bindings_are_kept_with_absolute_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    bindings = Bindings.parse(["claim/data-old=old", "deployment/web=compose/web", "secret/db=."])
    assert bindings.workloads == {
        WorkloadRef(WorkloadKind.DEPLOYMENT, "web"): Means("compose", "web", str(tmp_path)),
    }
    assert bindings.texts == (
        f"claim/data-old={tmp_path}/old",
        f"deployment/web=compose/web@{tmp_path}",
        f"secret/db={tmp_path}",
    )
    assert Bindings.parse(bindings.texts) == bindings


@pytest.mark.parametrize(("old", "new"), [("a", "a"), ("a", "a/b"), ("a/b", "a"), ("a", "link/b")])
def test_claims_whose_directories_lie_in_each_other_are_refused(tmp_path: Path, old: str, new: str) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "link").symlink_to("a")
    (found,) = problems(claims(), f"claim/data-old={tmp_path}/{old}", f"claim/data-new={tmp_path}/{new}")
    assert found.startswith("spec.volumes.pairs[0].target: ")


def test_a_target_that_holds_the_state_directory_is_refused(tmp_path: Path) -> None:
    texts = (f"claim/data-old={tmp_path}/old", f"claim/data-new={tmp_path}/new")
    with pytest.raises(DocumentError, match="--state DIR"):
        LocalBackend(claims(), tmp_path / "new" / "state", texts, home=tmp_path / "home")


def test_a_source_has_to_exist_and_a_target_does_not(tmp_path: Path) -> None:
    texts = (f"claim/data-old={tmp_path}/old", f"claim/data-new={tmp_path}/new")
    backend = LocalBackend(claims(), tmp_path / "state", texts, home=tmp_path / "home")
    asked = Questions(claims=frozenset({"claim/data-old", "claim/data-new"}))
    found = backend.observe(backend.load(backend.key), asked).claims
    assert not found["claim/data-old"].exists
    assert found["claim/data-new"].exists
    uid = found["claim/data-new"].uid
    (tmp_path / "new").mkdir()
    again = backend.observe(backend.load(backend.key), asked).claims["claim/data-new"].uid
    assert again == uid, "a lock is named after it, and is held while the copy makes the directory"


def databases(**target: Any) -> Document:
    def endpoint(host: str, secret: str, **more: Any) -> dict[str, Any]:
        return {"postgres": {"host": host, "database": "shop"}, "credentialsRef": {"name": secret}, **more}

    database = {"name": "shop", "source": endpoint("a", "db"), "target": endpoint("b", "db-new", **target)}
    volumes = {"databases": [database]}
    return Document.model_validate({"metadata": {"name": "shop"}, "spec": {"volumes": volumes}})


def a_secret(directory: Path, name: str, *keys: str) -> str:
    (directory / name).mkdir()
    for key in keys:
        (directory / name / key).write_text("x")
    return f"secret/{name}={directory / name}"


def test_a_secret_that_is_not_bound_is_named_with_the_option_that_binds_it(tmp_path: Path) -> None:
    (found,) = problems(databases(), a_secret(tmp_path, "db", "username", "password"))
    assert found.startswith("spec.volumes.databases[0].target.credentialsRef.name: ")
    assert "--bind secret/db-new=DIRECTORY" in found


def test_a_bound_secret_holds_the_keys_that_are_wanted_of_it(tmp_path: Path) -> None:
    texts = (
        a_secret(tmp_path, "db", "username", "password"),
        a_secret(tmp_path, "db-new", "username"),
        a_secret(tmp_path, "authority", "ca.crt"),
    )
    found = problems(databases(caRef={"name": "authority", "key": "root.pem"}), *texts)
    assert [(line.split(":")[0], line.split(" file ")[1].split(" ")[0]) for line in found] == [
        ("--bind secret/db-new", "password"),
        ("--bind secret/authority", "root.pem"),
    ]


def test_a_secret_that_no_document_names_is_an_error(tmp_path: Path) -> None:
    (found,) = problems(
        databases(),
        a_secret(tmp_path, "db", "username", "password"),
        a_secret(tmp_path, "db-new", "username", "password"),
        a_secret(tmp_path, "typo", "username"),
    )
    assert found == "--bind secret/typo: the document names no such Secret"


def test_a_migration_can_be_ended_when_its_secrets_are_gone(tmp_path: Path) -> None:
    texts = [a_secret(tmp_path, name, "username", "password") for name in ("db", "db-new")]
    LocalBackend(databases(), tmp_path / "state", texts, home=tmp_path / "home")
    for name in ("db", "db-new"):
        shutil.rmtree(tmp_path / name)
    assert LocalBackend.reopen(tmp_path / "state", home=tmp_path / "home").keys()
    with pytest.raises(DocumentError, match="there is no directory"):
        LocalBackend(databases(), tmp_path / "state", texts, home=tmp_path / "home")


def test_a_helper_finds_the_keys_under_the_names_that_it_knows_and_nothing_is_copied(tmp_path: Path) -> None:
    texts = [a_secret(tmp_path, name, "username", "password") for name in ("db", "db-new")]
    texts.append(a_secret(tmp_path, "authority", "root.pem"))
    document = databases(caRef={"name": "authority", "key": "root.pem"})
    backend = LocalBackend(document, tmp_path / "state", texts, home=tmp_path / "home")
    [work] = surveys(document.spec)
    request = Request(work.worker, "uid", "shop", "default", "preflight", work.name, params=work.params)
    spec = HelperSpec("preflight-shop-1-uid", request, (), Rights.NONE, secrets=work.secrets, network=True)
    backend.helpers.prepare(spec)
    roots = Request.from_json((backend.state.helpers / spec.name / "request.json").read_text()).roots
    assert sorted(roots) == ["source-credentials", "target-ca", "target-credentials", "workspace"]
    assert (Path(roots["target-ca"]) / "ca.crt").resolve() == tmp_path / "authority" / "root.pem"
    assert (Path(roots["source-credentials"]) / "password").resolve() == tmp_path / "db" / "password"
    assert all(path.is_symlink() for root in roots if root != "workspace" for path in Path(roots[root]).iterdir())
