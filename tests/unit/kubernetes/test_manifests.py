from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project_migration import workers
from project_migration.backends.kubernetes import manifests
from project_migration.backends.kubernetes.manifests import dry_run_pod, job, label_value, root_path
from project_migration.engine.effects import EnsureClaim, HelperSpec, Mount, Rights, SecretMount
from project_migration.engine.units import helper_name
from project_migration.model.document import Helper
from project_migration.model.endpoints import Volume
from project_migration.model.labels import REQUEST, REQUEST_DIGEST
from project_migration.model.records import Request
from tests.unit.kubernetes.objects import UID, a_helper, a_migration, some_settings

LABEL = re.compile(r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")


def pod_spec(**changes: object) -> dict:
    return job(a_helper(**changes), a_migration(), some_settings())["spec"]["template"]["spec"]


def test_a_helper_is_restricted_unless_it_has_to_keep_owners() -> None:
    spec = pod_spec()
    assert spec["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 65532,
        "runAsGroup": 65532,
        "fsGroup": 65532,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert spec["automountServiceAccountToken"] is False
    assert spec["enableServiceLinks"] is False
    assert spec["restartPolicy"] == "Never"


def test_a_helper_that_keeps_owners_is_root_with_five_capabilities_and_no_more() -> None:
    spec = pod_spec(rights=Rights.OWNERS)
    assert spec["securityContext"] == {
        "runAsNonRoot": False,
        "runAsUser": 0,
        "runAsGroup": 0,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert spec["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"], "add": ["CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD"]},
    }


def test_a_helper_runs_as_the_wanted_user_or_as_the_platform_chooses() -> None:
    assert pod_spec(user=8536, group=100)["securityContext"]["runAsUser"] == 8536
    assert pod_spec(user=8536, group=100)["securityContext"]["fsGroup"] == 100
    assert pod_spec(user=8536)["securityContext"]["runAsGroup"] == 8536
    openshift = job(a_helper(), a_migration(), some_settings(helper_user=None))["spec"]["template"]["spec"]
    assert openshift["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}


def test_a_job_never_makes_a_second_pod_and_waits_to_be_started() -> None:
    spec = job(a_helper(), a_migration(), some_settings())["spec"]
    assert spec["suspend"] is True
    assert (spec["backoffLimit"], spec["podReplacementPolicy"]) == (0, "Failed")
    assert (spec["completions"], spec["parallelism"]) == (1, 1)
    assert "ttlSecondsAfterFinished" not in spec


def test_a_job_goes_with_its_migration_and_never_blocks_its_deletion() -> None:
    owner = job(a_helper(), a_migration(), some_settings())["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"], owner["uid"]) == ("ProjectMigration", "vision", UID)
    assert owner["blockOwnerDeletion"] is False


def test_no_mesh_and_no_autoscaler_disturbs_a_helper() -> None:
    meta = job(a_helper(), a_migration(), some_settings())["spec"]["template"]["metadata"]
    assert meta["labels"]["sidecar.istio.io/inject"] == "false"
    assert meta["annotations"]["linkerd.io/inject"] == "disabled"
    assert meta["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


def test_a_source_is_read_only_twice_over() -> None:
    spec = pod_spec()
    volumes = {volume["name"]: volume.get("persistentVolumeClaim") for volume in spec["volumes"]}
    mounts = {mount["mountPath"]: mount for mount in spec["containers"][0]["volumeMounts"]}
    assert mounts["/mnt/source"]["readOnly"] is True
    assert volumes[mounts["/mnt/source"]["name"]] == {"claimName": "old", "readOnly": True}
    assert mounts["/mnt/target"]["readOnly"] is False
    assert volumes[mounts["/mnt/target"]["name"]] == {"claimName": "new", "readOnly": False}


def test_a_claim_that_is_source_and_target_is_one_volume_whose_groups_are_left_alone() -> None:
    mounts = (
        Mount("source", Volume(claim_name="one", sub_path="a"), read_only=True),
        Mount("target", Volume(claim_name="one", sub_path="b"), read_only=False),
    )
    spec = pod_spec(mounts=mounts)
    claims = [volume["persistentVolumeClaim"] for volume in spec["volumes"] if "persistentVolumeClaim" in volume]
    assert claims == [{"claimName": "one", "readOnly": False}, {"claimName": "work", "readOnly": False}]
    assert "fsGroup" not in spec["securityContext"]
    found = {mount["mountPath"]: mount["readOnly"] for mount in spec["containers"][0]["volumeMounts"][:2]}
    assert found == {"/mnt/source": True, "/mnt/target": False}


def test_nothing_makes_a_directory_before_the_worker_does() -> None:
    text = json.dumps(job(a_helper(), a_migration(), some_settings()))
    assert '"subPath"' not in text


def test_the_request_travels_as_an_annotation_with_its_roots_and_nothing_in_argv() -> None:
    found = job(a_helper(), a_migration(), some_settings())
    template = found["spec"]["template"]
    request = Request.from_json(template["metadata"]["annotations"][REQUEST])
    assert request.roots == {
        "source": "/mnt/source/in/side",
        "target": "/mnt/target",
        "workspace": "/mnt/workspace",
    }
    assert request.digest == a_helper().request.digest == found["metadata"]["annotations"][REQUEST_DIGEST]
    container = template["spec"]["containers"][0]
    assert container["command"] == ["python", "-m", "project_migration.workers.copy_tree"]
    assert container["args"] == [
        "--request",
        "/etc/project-migration/request.json",
        "--termination-log",
        "/dev/termination-log",
    ]
    assert "*.tmp" not in json.dumps(container)


def test_without_a_workspace_claim_there_is_a_scratch_one() -> None:
    spec = pod_spec(workspace=None)
    assert {"name": "workspace", "emptyDir": {"sizeLimit": "1Gi"}} in spec["volumes"]
    assert {"name": "workspace", "mountPath": "/mnt/workspace"} in spec["containers"][0]["volumeMounts"]


def test_where_a_helper_runs_is_as_the_document_and_the_volume_say() -> None:
    helper = Helper.model_validate(
        {
            "nodeSelector": {"disk": "fast"},
            "tolerations": [{"key": "night", "operator": "Exists", "tolerationSeconds": 5}],
            "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "3Gi"}},
        }
    )
    spec = pod_spec(helper=helper, nodes=("a", "b"))
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux", "disk": "fast"}
    assert spec["tolerations"] == [{"key": "night", "operator": "Exists", "tolerationSeconds": 5}]
    assert spec["containers"][0]["resources"] == {"requests": {"cpu": "2"}, "limits": {"memory": "3Gi"}}
    terms = spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms == [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["a"]}]},
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]},
        {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "In", "values": ["a", "b"]}]},
    ]
    assert "affinity" not in pod_spec()


def test_image_account_and_registry_are_the_installations_and_never_the_documents() -> None:
    settings = some_settings(helper_pull_secrets=("one",), helper_service_account="helpers", helper_pull_policy="Never")
    spec = job(a_helper(), a_migration(), settings)["spec"]["template"]["spec"]
    assert spec["serviceAccountName"] == "helpers"
    assert spec["imagePullSecrets"] == [{"name": "one"}]
    assert spec["containers"][0]["image"] == "registry.example/operator@sha256:1"
    assert spec["containers"][0]["imagePullPolicy"] == "Never"


def test_the_dry_run_offers_the_very_pod() -> None:
    pod = dry_run_pod(a_helper(), a_migration(), some_settings())
    template = job(a_helper(), a_migration(), some_settings())["spec"]["template"]
    assert pod["spec"] == template["spec"]
    assert pod["metadata"]["labels"] == template["metadata"]["labels"]
    assert "name" not in pod["metadata"]


@pytest.mark.parametrize("path", ["..", "a/../b", "../a", "a/.."])
def test_no_root_leaves_its_claim(path: str) -> None:
    with pytest.raises(ValueError, match="does not stay inside"):
        root_path("source", Volume(claim_name="old", sub_path=path))


@given(
    st.text(st.characters(exclude_characters="\x00"), min_size=1).filter(
        lambda path: not path.startswith("/") and ".." not in path.split("/")
    )
)
def test_every_other_root_lies_below_its_mount(path: str) -> None:
    assert f"{root_path('source', Volume.model_construct(claim_name='old', sub_path=path))}/".startswith("/mnt/source/")


@pytest.mark.parametrize(
    "volume",
    [Volume(path="/srv"), Volume(claim_name="old", namespace="other"), Volume(claim_name="old", cluster="c"), Volume()],
    ids=["a path", "another namespace", "another cluster", "nothing"],
)
def test_no_pod_mounts_anything_but_a_claim_of_its_own_namespace(volume: Volume) -> None:
    with pytest.raises(ValueError, match="no claim of namespace ml"):
        pod_spec(mounts=(Mount("source", volume, read_only=True),))


def test_no_pod_runs_anything_but_a_worker() -> None:
    with pytest.raises(ValueError, match="not a worker"):
        pod_spec(request=replace(a_helper().request, worker="copy_tree; rm"))


names = st.from_regex(r"\A[a-z0-9]([-a-z0-9]{0,28}[a-z0-9])?\Z")
long_names = st.from_regex(r"\A[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
steps = st.sampled_from(["preflight", "copy", "verify", "quiesce_source"])


@given(unit=names, name=long_names, step=steps, attempt=st.integers(1, 9999))
def test_every_name_and_label_fits(unit: str, name: str, step: str, attempt: int) -> None:
    request = Request("survey", UID, name, "ml", step, unit)
    spec = a_helper(name=helper_name(step, unit, attempt, UID), request=request)
    found = job(spec, replace(a_migration(), key=a_migration().key._replace(name=name)), some_settings())
    assert len(found["metadata"]["name"]) <= 63
    for value in found["metadata"]["labels"].values():
        assert len(value) <= 63
        assert LABEL.match(value)


@given(st.text(min_size=1, max_size=300))
def test_every_text_has_a_label(text: str) -> None:
    value = label_value(text)
    assert 1 <= len(value) <= 63
    assert LABEL.match(value)


@given(st.text(min_size=1, max_size=300), st.text(min_size=1, max_size=300))
def test_different_texts_have_different_labels(one: str, other: str) -> None:
    assert (label_value(one) == label_value(other)) == (one == other)


def test_a_claim_of_our_own_takes_the_default_class_unless_one_is_named() -> None:
    plain = manifests.claim(EnsureClaim("work", "5Gi", None), a_migration())
    assert "storageClassName" not in plain["spec"]
    assert plain["spec"]["accessModes"] == ["ReadWriteOnce"]
    assert plain["metadata"]["ownerReferences"][0]["uid"] == UID
    named = manifests.claim(EnsureClaim("work", "5Gi", "fast"), a_migration())
    assert named["spec"]["storageClassName"] == "fast"


def test_a_target_that_is_made_says_for_whom_and_outlives_its_migration() -> None:
    effect = EnsureClaim("new", "5Gi", "fast", ("ReadWriteMany", "ReadWriteOnce"), stays=True)
    made = manifests.claim(effect, a_migration())
    assert made["spec"]["accessModes"] == ["ReadWriteMany", "ReadWriteOnce"]
    assert made["metadata"]["labels"]["migration.mlops.dev/uid"] == UID
    assert "ownerReferences" not in made["metadata"], "what a team has moved goes with no object of ours"


def test_a_helper_whose_name_is_too_long_is_never_made() -> None:
    with pytest.raises(ValueError, match="longer than 63"):
        job(a_helper(name="x" * 64), a_migration(), some_settings())


SECRETS = (
    SecretMount("target-credentials", "db-new", (("username", "username"), ("password", "password"))),
    SecretMount("target-ca", "authority", (("root.pem", "ca.crt"),)),
)


def a_server_helper(**changes: object) -> HelperSpec:
    request = Request("postgres.copy", UID, "vision", "ml", "copy", "shop")
    return a_helper(**{"request": request, "mounts": (), "secrets": SECRETS, "network": True, **changes})


def test_secrets_are_files_that_the_helpers_user_alone_can_read() -> None:
    template = job(a_server_helper(), a_migration(), some_settings())["spec"]["template"]
    volumes = {volume["name"]: volume["secret"] for volume in template["spec"]["volumes"] if "secret" in volume}
    assert volumes == {
        "secret-target-credentials": {
            "secretName": "db-new",
            "defaultMode": 0o440,
            "items": [{"key": "username", "path": "username"}, {"key": "password", "path": "password"}],
        },
        "secret-target-ca": {
            "secretName": "authority",
            "defaultMode": 0o440,
            "items": [{"key": "root.pem", "path": "ca.crt"}],
        },
    }
    container = template["spec"]["containers"][0]
    mounts = {mount["name"]: mount for mount in container["volumeMounts"]}
    request = Request.from_json(template["metadata"]["annotations"][REQUEST])
    for root in ("target-credentials", "target-ca"):
        assert mounts[f"secret-{root}"]["readOnly"] is True
        assert mounts[f"secret-{root}"]["mountPath"] == request.roots[root]
    assert template["spec"]["securityContext"]["fsGroup"] == 65532
    assert "valueFrom" not in json.dumps(container["env"])


def test_where_the_platform_chooses_the_user_that_user_can_read_the_secrets() -> None:
    spec = job(a_server_helper(), a_migration(), some_settings(helper_user=None))["spec"]["template"]["spec"]
    assert {v["secret"]["defaultMode"] for v in spec["volumes"] if "secret" in v} == {0o444}


def test_only_a_helper_that_talks_to_a_server_is_let_out() -> None:
    label = "migration.mlops.dev/network"
    found = job(a_server_helper(), a_migration(), some_settings())["spec"]["template"]
    assert found["metadata"]["labels"][label] == "server"
    assert label not in job(a_helper(), a_migration(), some_settings())["spec"]["template"]["metadata"]["labels"]
    assert found["spec"]["containers"][0]["command"] == ["python", "-m", "project_migration.workers.postgres.copy"]


def test_a_helper_that_shares_a_workspace_with_privileged_ones_may_write_there_and_nothing_else() -> None:
    spec = job(a_server_helper(rights=Rights.WORKSPACE), a_migration(), some_settings())["spec"]["template"]["spec"]
    assert spec["securityContext"]["runAsUser"] == 0
    assert spec["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["DAC_OVERRIDE"]}
    assert {v["secret"]["defaultMode"] for v in spec["volumes"] if "secret" in v} == {0o440}


@pytest.mark.parametrize(
    "worker", ["", ".copy", "postgres.", "postgres..copy", "os/../x", "copy-tree", "os; rm", "Copy"]
)
def test_what_is_no_name_of_a_program_is_none_in_a_pod(worker: str) -> None:
    with pytest.raises(ValueError, match="not a worker"):
        pod_spec(request=replace(a_helper().request, worker=worker))


@pytest.mark.parametrize(("major", "image"), [(None, "ours:1"), (15, "ours:1"), (17, "ours:17"), (18, "ours:18")])
def test_a_helper_has_the_image_of_the_client_tools_that_it_runs(major: int | None, image: str) -> None:
    settings = some_settings(helper_postgres_images={17: "ours:17", 18: "ours:18"}).model_copy(
        update={"helper_image": "ours:1"}
    )
    made = job(a_helper(client_major=major), a_migration(), settings)
    assert made["spec"]["template"]["spec"]["containers"][0]["image"] == image
    assert dry_run_pod(a_helper(client_major=major), a_migration(), settings)["spec"]["containers"][0]["image"] == image


WORKERS = Path(workers.__file__).parent


@pytest.mark.parametrize(
    "program",
    [path for path in WORKERS.rglob("*.py") if '__name__ == "__main__"' in path.read_text()],
    ids=lambda path: str(path.relative_to(WORKERS)),
)
def test_every_program_of_a_helper_can_be_named_in_its_pod(program: Path) -> None:
    name = ".".join(program.relative_to(WORKERS).with_suffix("").parts)
    assert manifests.command(name) == ["python", "-m", f"project_migration.workers.{name}"]
