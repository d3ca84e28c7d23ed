import re

import pytest

from tests.unit.packaging.files import BASE, CHART, MANIFESTS, ROOT, chart_rules, documents, objects, operator, template

POWERFUL = {
    "secrets", "configmaps", "nodes", "serviceaccounts", "serviceaccounts/token", "pods/exec", "pods/attach",
    "pods/portforward", "roles", "rolebindings", "clusterroles", "clusterrolebindings",
}  # fmt: skip


def rules():
    for _, document in documents(MANIFESTS):
        if document.get("kind") in ("Role", "ClusterRole"):
            for rule in document["rules"]:
                yield document["metadata"]["name"], rule
    for rule in chart_rules("pmig.rules"):
        yield "chart", rule


def flat(found):
    """Rules as facts that can be compared, however they are grouped."""
    return {
        (group, resource, verb)
        for rule in found
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def documented():
    """The tables of docs/security.md: group, resources, verbs, why."""
    text = (ROOT / "docs/security.md").read_text()
    for group, resources, verbs, why in re.findall(
        r"^\| ([a-z0-9.]+) \| ([a-z/, ]+) \| ([a-z, ]+) \| (.+) \|$", text, re.MULTILINE
    ):
        if group == "group":
            continue
        assert why
        yield {
            "apiGroups": ["" if group == "core" else group],
            "resources": resources.split(", "),
            "verbs": verbs.split(", "),
        }


def people():
    return [
        role for role in objects("ClusterRole") if any("aggregate-to" in label for label in role["metadata"]["labels"])
    ]


def test_there_is_no_wildcard():
    for name, rule in rules():
        for field in ("apiGroups", "resources", "verbs"):
            assert not any("*" in value for value in rule[field]), (name, rule)
    for file in (CHART / "templates").rglob("*.*"):
        if "rules" in file.name or "rbac" in file.name:
            assert "*" not in re.sub(r"{{/\*.*?\*/}}", "", file.read_text(), flags=re.DOTALL), file.name


def test_nobody_may_read_secrets_or_hand_out_rights():
    for name, rule in rules():
        assert not POWERFUL & set(rule["resources"]), (name, rule)
        assert not {"escalate", "bind", "impersonate"} & set(rule["verbs"]), (name, rule)


def test_the_chart_and_the_manifests_give_the_same_rights():
    [role] = objects("Role")
    assert flat(role["rules"]) == flat(chart_rules("pmig.rules"))


def test_the_security_page_gives_the_reason_of_every_right():
    [role] = objects("Role")
    [volumes] = [role for role in objects("ClusterRole") if role["metadata"]["name"].endswith("-volumes")]
    assert flat(documented()) == flat([*role["rules"], *volumes["rules"]])


def test_people_cannot_write_the_operators_memory():
    assert len(people()) == 2
    for role in people():
        assert {resource for rule in role["rules"] for resource in rule["resources"]} == {"projectmigrations"}
    written_out = re.findall(r"^    resources: \[(.+)\]$", template("rbac.yaml"), re.MULTILINE)
    assert set(written_out) == {"persistentvolumes", "storageclasses", "projectmigrations"}


def test_helpers_and_other_pods_get_no_token_unasked():
    for account in objects("ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    assert operator()["automountServiceAccountToken"] is True
    assert operator()["serviceAccountName"] != "project-migration-operator-helper"


def test_the_operators_pod_is_restricted():
    pod = operator()
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {key for volume in pod["volumes"] for key in volume} == {"name", "emptyDir"}


def test_two_operators_do_not_run_at_once():
    [deployment] = objects("Deployment")
    assert (deployment["spec"]["replicas"], deployment["spec"]["strategy"]) == (1, {"type": "Recreate"})


@pytest.mark.parametrize("policy", objects("ValidatingAdmissionPolicy"), ids=lambda policy: policy["metadata"]["name"])
def test_the_policy_asks_for_no_more_rights_than_an_api_server_lets_it(policy):
    """k8s.io/apiserver: a check costs 350,000; an expression may cost 1,000,000 and a policy 10,000,000."""
    spec = policy["spec"]
    assert spec["failurePolicy"] == "Fail"
    checks = [entry["expression"].count(".check(") for entry in [*spec["variables"], *spec["validations"]]]
    assert max(checks) <= 2
    assert sum(checks) <= 28


def test_kustomize_takes_every_file_of_the_base():
    listed = {
        resource
        for file in BASE.rglob("kustomization.yaml")
        for resource in re.findall(r"^  - (\S+\.yaml)$", file.read_text(), re.MULTILINE)
    }
    assert listed == {file.name for file in BASE.rglob("*.yaml")} - {"kustomization.yaml"}
