import re

import pytest
import yaml

from project_migration.model import document, labels
from project_migration.model.rules import read_document
from tests.unit.packaging.files import BASE, CHART, MANIFESTS, ROOT, template

SAMPLES = sorted((MANIFESTS / "samples").glob("*.yaml"))
#: Annotations for which something is done.
ASKING = {labels.RETRY, labels.ROLLBACK, labels.RELEASE, labels.EXPIRE}
CRD = "projectmigrations.migration.mlops.dev.yaml"


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.name)
def test_a_sample_is_a_document_that_the_operator_takes(file):
    assert read_document(yaml.safe_load(file.read_text()), local=False).spec.platform in ("volumes", "mlflow", "cdsw")


def test_the_samples_show_a_plan_workloads_and_the_common_fields():
    assert {file.name for file in SAMPLES} >= {"plan.yaml", "volumes.yaml", "workloads.yaml"}


@pytest.mark.parametrize("copy", [CHART / "files" / CRD, BASE / CRD], ids=["chart", "kustomize"])
def test_a_copy_of_the_crd_is_the_generated_one(copy):
    assert copy.read_text() == (ROOT / "crds" / CRD).read_text(), "run `make generate`"


def test_the_crd_stays_when_the_chart_goes():
    text = template("crd.yaml")
    assert '"helm.sh/resource-policy" "keep"' in text
    assert f"files/{CRD}" in text
    assert not (CHART / "crds").exists(), "Helm never upgrades what lies there"


@pytest.mark.parametrize(
    "file", [CHART / "templates/admission-policy.yaml", BASE / "admission-policy.yaml"], ids=["chart", "kustomize"]
)
def test_the_policy_looks_at_fields_and_annotations_that_exist(file):
    text = file.read_text()
    spec = document.Spec.model_json_schema(by_alias=True)["properties"]
    assert set(re.findall(r"object\.spec\.(\w+)", text)) <= spec.keys()
    assert set(re.findall(r"object\.spec\.volumes\.(\w+)", text)) == {"pairs", "databases"}
    assert set(re.findall(r"'(migration\.mlops\.dev/\w+)'", text)) == ASKING
    assert set(re.findall(r"== '([A-Z]\w+)'", text)) - {"CREATE"} <= set(document.WorkloadKind)
    assert set(re.findall(r"object\.spec\.cutover\.(\w+)", text)) == {"at", "mode", "notAfter"}
    assert set(re.findall(r"cutover\.mode != '(\w+)'", text)) == {document.CutoverMode.AT}


def test_argo_cd_is_given_the_health_of_our_kind():
    kustomization = yaml.safe_load((MANIFESTS / "argocd/kustomization.yaml").read_text())
    [generated] = kustomization["configMapGenerator"]
    key = f"resource.customizations.health.{document.GROUP}_{document.KIND}"
    assert generated["files"] == [f"{key}=health.lua"]


HEALTH = [
    ({}, {}, "Progressing"),
    ({}, {"Ready": "False", "Reconciling": "True", "Stalled": "False"}, "Progressing"),
    ({}, {"Ready": "True", "Reconciling": "False", "Stalled": "False"}, "Healthy"),
    ({}, {"Ready": "False", "Reconciling": "False", "Stalled": "True"}, "Degraded"),
    ({"suspend": True}, {"Ready": "False", "Reconciling": "True", "Stalled": "False"}, "Suspended"),
    ({"suspend": True}, {"Ready": "True", "Reconciling": "False", "Stalled": "False"}, "Healthy"),
]


def health(generation: int, spec: dict, conditions: dict) -> dict:
    lua = pytest.importorskip("lupa.lua51", reason="Argo CD's language: pip install lupa").LuaRuntime()
    found = [{"type": name, "status": status, "reason": "R", "message": "m"} for name, status in conditions.items()]
    lua.globals().obj = lua.table_from(
        {
            "metadata": {"generation": generation},
            "spec": spec,
            "status": {"observedGeneration": 1, "conditions": found},
        },
        recursive=True,
    )
    return dict(lua.execute((MANIFESTS / "argocd/health.lua").read_text()))


@pytest.mark.parametrize(("spec", "conditions", "expected"), HEALTH)
def test_argo_cd_reads_health_from_conditions(spec, conditions, expected):
    assert health(1, spec, conditions)["status"] == expected


def test_argo_cd_does_not_take_the_conditions_of_an_older_document_for_this_one():
    assert health(2, {}, {"Ready": "True"})["status"] == "Progressing"
