"""The chart and the manifests, on a real API server, with the image that users build."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator

import pytest
import yaml

from project_migration.model.labels import MANAGED_BY, NETWORK, NETWORK_SERVER, OPERATOR
from project_migration.settings import Settings
from tests.cluster.installation import CHART, RELEASE, ROOT, Cluster, Json, Refused
from tests.cluster.kube import wait
from tests.cluster.node import Tools

pytestmark = pytest.mark.timeout(600)

CRD = "projectmigrations.migration.mlops.dev"
TWO = {"watchNamespaces": ["ml", "vision"]}

VARIANTS: dict[str, Json] = {
    "default": {},
    "two-namespaces": TWO,
    "cluster-wide": {"clusterWide": True},
    "least": {
        "rbac": {"aggregate": False, "volumes": False},
        "admissionPolicy": {"enabled": False},
        "metrics": {"service": {"enabled": False}, "podMonitor": {"create": "Never"}},
        "crds": {"install": False},
    },
    "openshift": {"podSecurityContext": {"runAsUser": None, "runAsGroup": None}, "helper": {"user": "none"}},
    "everything": {
        **TWO,
        "image": {"digest": "sha256:" + "0" * 64, "pullPolicy": "Always", "pullSecrets": ["registry"]},
        "helper": {
            "image": "helper:1",
            "postgresImages": {"17": "helper:1-17", "18": "helper:1-18"},
            "pullSecrets": ["registry"],
            "user": 4_294_967_294,
            "scratch": "500M",
        },
        "settings": {"logLevel": "DEBUG", "passes": 64, "resyncSeconds": 3600, "helperPollSeconds": 0.5},
        "gitops": {"argocdNamespace": "cd", "namespaces": ["vision"]},
        "serviceAccount": {"annotations": {"a": "b"}},
        "podAnnotations": {"a": "b"},
        "podLabels": {"team": "ml", "app.kubernetes.io/name": "not-to-be-changed"},
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "a", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}},
        "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
        "liveness": {"port": 9000},
        "metrics": {"port": 9001, "service": {"annotations": {"a": "b"}}, "dashboard": {"create": True}},
        "networkPolicy": {"enabled": True, "apiServerPorts": [6443]},
        "fullnameOverride": "a-name-of-just-fifty-characters-which-is-the-longest",
    },
}

WRONG: dict[str, Json] = {
    "watchNamespaces": {"watchNamespaces": ["ml"], "clusterWide": True},
    "replicas": {"replicas": 2},
    "/image": {"image": {"registry": "somewhere"}},
    "/image/digest": {"image": {"digest": "latest"}},
    "/helper/postgresImages": {"helper": {"postgresImages": {"eighteen": "helper:1"}}},
    "/helper/postgresImages/18": {"helper": {"postgresImages": {"18": "one,two"}}},
    "/helper/user": {"helper": {"user": 0}},
    "/settings/logLevel": {"settings": {"logLevel": "LOUD"}},
    "/liveness/port": {"liveness": {"port": 0}},
}

#: What Helm adds to every object, and what a person would not write down.
NOT_COMPARED = ("helm.sh/", "meta.helm.sh/", "app.kubernetes.io/managed-by", "app.kubernetes.io/version")


@pytest.fixture(scope="module")
def here(cluster: Tools) -> Iterator[Cluster]:
    """The session's cluster, with the CRD left to whom it belonged."""
    found = Cluster(cluster)
    before = next((crd for crd in found.get("crd")["items"] if crd["metadata"]["name"] == CRD), None)
    yield found
    if before is None:
        found.kubectl("delete", "crd", CRD, "--ignore-not-found")
    else:
        kept = {field: before["metadata"].get(field) or {} for field in ("labels", "annotations")}
        found.kubectl("patch", "crd", CRD, "--type=merge", f"--patch={json.dumps({'metadata': kept})}")


def compared(found: Json) -> Json:
    meta = dict(found["metadata"])
    if found["kind"] == "CustomResourceDefinition":
        meta.pop("labels", None)  # the file is generated and belongs to no installation
    for field in ("labels", "annotations"):
        kept = {key: value for key, value in (meta.pop(field, None) or {}).items() if not key.startswith(NOT_COMPARED)}
        if kept:
            meta[field] = kept
    return {**found, "metadata": meta}


def by_name(objects: list[Json]) -> dict[str, Json]:
    return {
        "/".join((found["kind"], found["metadata"].get("namespace", ""), found["metadata"]["name"])): compared(found)
        for found in objects
    }


def is_test(found: Json) -> bool:
    return "helm.sh/hook" in found["metadata"].get("annotations", {})


def kustomized(here: Cluster, folder: str) -> list[Json]:
    return list(yaml.safe_load_all(here.kubectl("kustomize", ROOT / "manifests" / folder)))


def namespaced(names: list[str]) -> list[Json]:
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names]


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
def test_helm_finds_nothing_to_complain_about(here, values):
    assert "0 chart(s) failed" in here.helm("lint", "--strict", CHART, values=values)


@pytest.mark.parametrize(("named", "values"), WRONG.items(), ids=WRONG.keys())
def test_a_wrong_value_is_refused_by_name(here, named, values):
    with pytest.raises(Refused, match=named):
        here.render(values)


def test_the_manifests_are_what_the_chart_renders(here):
    rendered = [found for found in here.render({}) if not is_test(found)]
    written = [found for found in kustomized(here, "base") if found["kind"] != "Namespace"]
    assert by_name(written) == by_name(rendered)


def test_the_overlay_is_what_the_chart_renders_for_other_namespaces(here):
    rendered = [found for found in here.render({"watchNamespaces": ["ml"]}) if not is_test(found)]
    written = [found for found in kustomized(here, "overlays/namespaced") if found["kind"] != "Namespace"]
    assert by_name(written) == by_name(rendered)


@pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS.keys())
def test_an_api_server_takes_every_object(here, values):
    with here.namespaces("home", "ml", "vision") as (home, *watched):
        mapped = dict(zip(TWO["watchNamespaces"], watched, strict=True))
        text = yaml.safe_dump(values)
        for name, real in mapped.items():
            text = text.replace(f"- {name}\n", f"- {real}\n")
        # the pod of `helm test` runs under an account that a dry run does not make
        objects = [found for found in here.render(yaml.safe_load(text), namespace=home) if not is_test(found)]
        here.apply(*objects, dry_run=True)


def test_a_pod_monitor_is_rendered_where_the_cluster_knows_it_or_it_is_asked_for(here):
    def monitors(create: str, *flags: str) -> int:
        values = {"metrics": {"podMonitor": {"create": create}}}
        text = here.helm("template", RELEASE, CHART, *flags, values=values)
        return text.count("kind: PodMonitor")

    known = "--api-versions=monitoring.coreos.com/v1"
    assert [monitors("Auto"), monitors("Auto", known), monitors("Always"), monitors("Never", known)] == [0, 1, 1, 0]


def type_warnings(here: Cluster, name: str) -> list[Json]:
    """What the API server's type checker says of a policy, once it has looked at it as it is now."""

    def checked() -> Json | None:
        policy = here.get("validatingadmissionpolicy", name)
        status = policy.get("status", {})
        return status if status.get("observedGeneration") == policy["metadata"]["generation"] else None

    status = wait(checked, f"the policy {name} to be type checked", 60)
    return status.get("typeChecking", {}).get("expressionWarnings", [])


def test_a_policy_with_a_type_error_is_told_from_one_without(here):
    validations = [{"expression": "object.spec.replicas == 'three'"}]
    rule = {"apiGroups": ["apps"], "apiVersions": ["v1"], "resources": ["deployments"], "operations": ["CREATE"]}
    spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": validations}
    name = f"wrong-{uuid.uuid4().hex[:6]}"
    kind = {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy"}
    here.apply({**kind, "metadata": {"name": name}, "spec": spec})  # not bound to anything
    try:
        assert "no matching overload" in type_warnings(here, name)[0]["warning"]
    finally:
        here.kubectl("delete", "validatingadmissionpolicy", name)


def network_policies(here: Cluster, **values: Json) -> dict[str, Json]:
    rendered = here.render({**TWO, **values})
    return {
        f"{found['metadata']['namespace']}/{found['metadata']['name']}": found["spec"]
        for found in rendered
        if found["kind"] == "NetworkPolicy"
    }


def test_network_policies_let_out_helpers_of_databases_only(here):
    """As rendered: the node's network enforces none, so that they hold anything back is not shown here."""
    assert network_policies(here) == {}
    egress = [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}], "ports": [{"port": 5432, "protocol": "TCP"}]}]
    found = network_policies(here, networkPolicy={"enabled": True, "serverEgress": egress})
    assert set(found) == {
        f"project-migration/{RELEASE}",
        *(f"{namespace}/{RELEASE}-{name}" for namespace in TWO["watchNamespaces"] for name in ("helpers", "servers")),
    }
    ours = {MANAGED_BY: OPERATOR}
    helpers, servers = found[f"ml/{RELEASE}-helpers"], found[f"ml/{RELEASE}-servers"]
    assert helpers == {"podSelector": {"matchLabels": ours}, "policyTypes": ["Ingress", "Egress"]}, "nothing at all"
    assert servers["podSelector"] == {"matchLabels": {**ours, NETWORK: NETWORK_SERVER}}
    assert servers["policyTypes"] == ["Egress"]
    names = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}
    assert servers["egress"] == [names, *egress]


def test_images_for_major_versions_reach_the_operator(here):
    values = {"helper": {"postgresImages": {"18": "ours:1-18", "17": "registry:5000/ours@sha256:" + "0" * 64}}}
    [deployment] = [found for found in here.render(values) if found["kind"] == "Deployment"]
    [container] = deployment["spec"]["template"]["spec"]["containers"]
    given = {variable["name"]: variable["value"] for variable in container["env"]}
    images = {int(major): image for major, image in values["helper"]["postgresImages"].items()}
    assert Settings.from_environment(given).helper_postgres_images == images


@pytest.fixture(scope="class")
def places(here: Cluster) -> Iterator[list[str]]:
    with here.namespaces("home", "ml", "vision", "strange") as names:
        here.install(names[0], {"watchNamespaces": names[1:3]})
        yield names
        here.uninstall(names[0])


class TestInstalled:
    """One release: a home of its own, two namespaces that it works in, and one that is none of its business."""

    def account(self, places: list[str]) -> str:
        return f"system:serviceaccount:{places[0]}:{RELEASE}"

    def test_the_operator_is_ready_and_helm_test_passes(self, here, places):
        assert "Succeeded" in here.helm("test", RELEASE, f"--namespace={places[0]}", "--timeout=2m")
        [pod] = here.get("pods", f"--namespace={places[0]}", f"--selector=app.kubernetes.io/name={RELEASE}")["items"]
        assert [found["restartCount"] for found in pod["status"]["containerStatuses"]] == [0]

    def test_the_operator_meets_no_closed_door(self, here, places):
        logs = here.kubectl("logs", f"deployment/{RELEASE}", f"--namespace={places[0]}")
        assert "watching " + ", ".join(places[1:3]) in logs
        assert "orbidden" not in logs

    def test_its_rights_end_where_its_namespaces_end(self, here, places):
        who, (home, ml, vision, strange) = self.account(places), places
        for namespace, expected in ((ml, True), (vision, True), (home, False), (strange, False)):
            for verb, resource in (
                ("create", "jobs"),
                ("patch", "deployments"),
                ("list", "pods"),
                ("get", "namespaces"),
            ):
                assert here.may(who, verb, resource, namespace) is expected, (verb, resource, namespace)

    def test_it_may_read_no_secret_anywhere(self, here, places):
        for namespace in places:
            for verb in ("get", "list", "watch"):
                assert not here.may(self.account(places), verb, "secrets", namespace)
            assert not here.may(self.account(places), "create", "pods/exec", namespace)
            assert not here.may(self.account(places), "create", "serviceaccounts/token", namespace)

    def test_the_helpers_account_may_do_nothing(self, here, places):
        who = f"system:serviceaccount:{places[1]}:{RELEASE}-helper"
        for verb, resource in (("get", "pods"), ("get", "projectmigrations"), ("get", "secrets")):
            assert not here.may(who, verb, resource, places[1])

    def test_the_policies_have_no_type_errors(self, here, places):
        for name in (f"{RELEASE}.{places[0]}", f"{RELEASE}.{places[0]}.secrets"):
            assert type_warnings(here, name) == [], name

    def test_an_upgrade_keeps_migrations_and_brings_new_settings(self, here, places):
        here.apply(migration(places[1], name="kept", suspend=True))
        here.install(places[0], {"watchNamespaces": places[1:3], "settings": {"passes": 2}})
        [pod] = here.get("pods", f"--namespace={places[0]}", f"--selector=app.kubernetes.io/name={RELEASE}")["items"]
        env = {variable["name"]: variable.get("value") for variable in pod["spec"]["containers"][0]["env"]}
        assert env["PROJECT_MIGRATION_PASSES"] == "2"
        assert here.get("projectmigration", "kept", f"--namespace={places[1]}")["spec"]["suspend"] is True

    def test_kinds_and_migrations_stay_when_the_release_goes(self, here, places):
        here.uninstall(places[0])
        assert here.get("crd", CRD)["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"
        assert here.get("projectmigration", "kept", f"--namespace={places[1]}")
        with pytest.raises(Refused, match="not found"):
            here.get("deployment", RELEASE, f"--namespace={places[0]}")


def test_the_operator_runs_with_rights_over_the_whole_cluster(here):
    with here.namespaces("wide") as [home]:
        here.install(home, {"clusterWide": True})
        try:
            assert "Succeeded" in here.helm("test", RELEASE, f"--namespace={home}", "--timeout=2m")
            assert "watching everything" in here.kubectl("logs", f"deployment/{RELEASE}", f"--namespace={home}")
            assert here.may(f"system:serviceaccount:{home}:{RELEASE}", "create", "jobs", "default")
        finally:
            here.uninstall(home)


# Requesters. The policy asks with the rights of whoever writes the document.


def migration(
    namespace: str,
    *,
    name: str = "m",
    claims: tuple[str, ...] = ("a", "b"),
    create: Json | None = None,
    databases: list[Json] | None = None,
    **spec: object,
) -> Json:
    made = {} if create is None else {"create": create}
    pairs = [
        {"name": f"pair-{n}", "source": {"claimName": source}, "target": {"claimName": target, **made}}
        for n, (source, target) in enumerate(zip(claims[::2], claims[1::2], strict=True))
    ]
    volumes = {"volumes": {"pairs": pairs, "databases": databases or []}}
    return {
        "apiVersion": "migration.mlops.dev/v1alpha1",
        "kind": "ProjectMigration",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"workspace": {"claimName": "work"}, **(spec if "cdsw" in spec else {**volumes, **spec})},
    }


def workloads(*named: str) -> Json:
    return {"workloads": [dict(zip(("kind", "name"), one.split("/"), strict=True), side="Source") for one in named]}


MIGRATIONS = {
    "apiGroups": ["migration.mlops.dev"],
    "resources": ["projectmigrations"],
    "verbs": ["create", "get", "patch"],
}
SOME_CLAIMS = {
    "apiGroups": [""],
    "resources": ["persistentvolumeclaims"],
    "resourceNames": [*"abcdefghijkl", "work"],
    "verbs": ["use"],
}
SOME_WORKLOADS = [
    {"apiGroups": ["apps"], "resources": ["deployments"], "resourceNames": ["web", "web2"], "verbs": ["patch"]},
    {"apiGroups": ["apps"], "resources": ["statefulsets"], "resourceNames": ["db", "db2"], "verbs": ["patch"]},
    {"apiGroups": ["batch"], "resources": ["cronjobs"], "resourceNames": ["nightly", "weekly"], "verbs": ["patch"]},
]
LOGIN = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["login"], "verbs": ["get"]}
PEOPLE: dict[str, list[Json]] = {
    "only-migrations": [MIGRATIONS],
    "named-claims": [MIGRATIONS, SOME_CLAIMS],
    "named-claims-and-workloads": [MIGRATIONS, SOME_CLAIMS, *SOME_WORKLOADS],
    "named-claims-and-login": [MIGRATIONS, SOME_CLAIMS, LOGIN],
    "all-claims": [MIGRATIONS, {"apiGroups": [""], "resources": ["persistentvolumeclaims"], "verbs": ["use"]}],
    "pods": [MIGRATIONS, {"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}],
}

DUMPED = {
    "name": "shop",
    "source": {"dump": {"claimName": "z"}},
    "target": {"postgres": {"host": "db", "database": "shop"}, "credentialsRef": {"name": "login"}},
}

WORKSPACE = {
    "cdsw": {
        "source": {"archive": {"claimName": "a", "subPath": "archive.tar.gz"}},
        "target": {"namespace": "ml"},
        "administrator": {"username": "admin"},
    },
    "backup": {"claimName": "b"},
}

SIX_PAIRS = tuple("abcdefghijkl")
SIX_WORKLOADS = workloads(
    "Deployment/web", "Deployment/web2", "StatefulSet/db", "StatefulSet/db2", "CronJob/nightly", "CronJob/weekly"
)

#: who, what the document has, and what the refusal says (None: it is taken)
REQUESTS = {
    "a claim that he cannot mount": ("only-migrations", {}, "you may not have a and b mounted"),
    "claims that he may use": ("named-claims", {}, None),
    "a claim beside those that he may use": (
        "named-claims",
        {"claims": ("a", "z")},
        "you may not have a and z mounted",
    ),
    "a workspace that he may not use": ("named-claims", {"workspace": {"claimName": "z"}}, "spec.workspace.claimName"),
    "a workspace to be made": ("named-claims", {"workspace": {"size": "1Gi"}}, "spec.workspace.size"),
    "a target to be made": ("named-claims", {"create": {}}, "target.create"),
    "a target to be made, as an editor": ("editor", {"create": {"size": "1Gi"}}, None),
    "a second pair that he may not use": ("named-claims", {"claims": ("a", "b", "c", "z")}, r"pairs\[1\]"),
    "a Secret that he may not read": ("all-claims", {"databases": [DUMPED]}, "you may not read Secret login"),
    "a dump that he may not mount": ("named-claims-and-login", {"databases": [DUMPED]}, "a dump as source"),
    "a dump, as one who may create pods": ("pods", {"databases": [DUMPED]}, None),
    "a workload that he may not patch": (
        "named-claims",
        {"quiesce": workloads("Deployment/web")},
        "patch Deployment web",
    ),
    "another workload": (
        "named-claims-and-workloads",
        {"quiesce": workloads("Deployment/web", "CronJob/web")},
        "patch CronJob web",
    ),
    "discovery": ("named-claims-and-workloads", {"quiesce": {"discover": True}}, "spec.quiesce: discover"),
    "seven workloads": (
        "named-claims-and-workloads",
        {"quiesce": {"workloads": [*SIX_WORKLOADS["workloads"], *workloads("Deployment/web3")["workloads"]]}},
        "more than 6 workloads",
    ),
    "as much by name as can be": ("named-claims-and-workloads", {"claims": SIX_PAIRS, "quiesce": SIX_WORKLOADS}, None),
    "seven pairs": ("named-claims", {"claims": (*SIX_PAIRS, "a", "c")}, "more than 6 pairs"),
    "seven pairs, and the right to all": ("all-claims", {"claims": (*SIX_PAIRS, "a", "c")}, None),
    "the nodes of helpers": ("all-claims", {"helper": {"nodeSelector": {"gpu": "yes"}}}, "spec.helper"),
    "the taints of helpers": ("all-claims", {"helper": {"tolerations": [{"operator": "Exists"}]}}, "spec.helper"),
    "claims and nodes, as one who may create pods": ("pods", {"helper": {"nodeSelector": {"gpu": "yes"}}}, None),
    "a workload, as one who may create pods": (
        "pods",
        {"quiesce": workloads("Deployment/web")},
        "patch Deployment web",
    ),
    "a cut-over in the past": (
        "pods",
        {"cutover": {"mode": "At", "at": "2020-01-01T00:00:00Z"}},
        "spec.cutover.at: this moment is over",
    ),
    "a window in the past": (
        "pods",
        {"cutover": {"notAfter": "2020-01-01T00:00:00+01:00"}},
        "spec.cutover.notAfter: this moment is over",
    ),
    "a cut-over that lies ahead": (
        "pods",
        {"cutover": {"mode": "At", "at": "2999-01-01T00:00:00Z", "notAfter": "2999-01-02T00:00:00Z"}},
        None,
    ),
    "a workspace whose services are looked up": ("pods", WORKSPACE, "patch all deployments"),
    "a workspace whose services are looked up, as an editor": ("editor", WORKSPACE, None),
    "discovery, as an editor": ("editor", {"quiesce": {"discover": True}, "workspace": {"size": "1Gi"}}, None),
}


@pytest.fixture(scope="class")
def namespace(here: Cluster) -> Iterator[str]:
    with here.namespaces("home", "ml") as (home, ml):
        here.install(home, {"watchNamespaces": [ml]})
        for name, rules in PEOPLE.items():
            here.apply(*role(ml, name, rules))
        here.apply(binding(ml, "editor", {"kind": "ClusterRole", "name": "edit"}))
        yield ml
        here.uninstall(home)


class TestRequesters:
    @pytest.mark.parametrize(("who", "changes", "refusal"), REQUESTS.values(), ids=REQUESTS.keys())
    def test_nobody_gains_a_right_by_a_document_with(self, here, namespace, who, changes, refusal):
        wanted = migration(namespace, **changes)
        if refusal is None:
            assert "created" in here.apply(wanted, dry_run=True, who=who)
            return
        with pytest.raises(Refused, match=refusal):
            here.apply(wanted, dry_run=True, who=who)

    def test_who_may_not_ask_may_not_ask_again_either(self, here, namespace):
        """A retry does it once more, and a changed spec does something else; a label does nothing."""
        here.apply(migration(namespace, name="of-the-administrator", suspend=True))
        target = ("projectmigration", "of-the-administrator", f"--namespace={namespace}", "--as=only-migrations")
        here.kubectl("label", *target, "team=vision")
        for change in (
            ("annotate", *target, "migration.mlops.dev/retry=1"),
            ("annotate", *target, "migration.mlops.dev/rollback=1"),
            ("annotate", *target, "migration.mlops.dev/release=1"),
            ("annotate", *target, "migration.mlops.dev/expire=1"),
            ("patch", *target, "--type=merge", '--patch={"spec": {"suspend": false}}'),
        ):
            with pytest.raises(Refused, match="you may not have a and b mounted"):
                here.kubectl(*change)

    def test_nobody_but_the_operator_writes_its_memory(self, here, namespace):
        for who in ("editor", "pods", "only-migrations"):
            assert here.may(who, "create" if who == "editor" else "get", "projectmigrations", namespace)
            for verb in ("update", "patch"):
                assert not here.may(who, verb, "projectmigrations/status", namespace)


def role(namespace: str, name: str, rules: list[Json]) -> tuple[Json, Json]:
    meta = {"name": name, "namespace": namespace}
    made = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": rules}
    return made, binding(namespace, name, {"kind": "Role", "name": name})


def binding(namespace: str, who: str, ref: Json) -> Json:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": who, "namespace": namespace},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", **ref},
        "subjects": [{"kind": "User", "name": who}],
    }
