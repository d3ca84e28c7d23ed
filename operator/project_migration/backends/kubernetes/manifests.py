"""Helpers as Kubernetes objects: pure functions from a helper's spec and the operator's settings to a Job.

Whole claims are mounted, and a root is a directory below the mount. The kubelet's own ``subPath`` would make a
directory that does not exist, in a source too (kubelet, ``SafeMakeDir``), and a source is only read. So that a
symbolic link in a claim leads nowhere else, workers refuse a root whose real path is not its path.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import PurePosixPath

from project_migration.backends.kubernetes.resources import HOSTNAME, MIGRATIONS, Json
from project_migration.engine.effects import EnsureClaim, HelperSpec, Mount, Rights, SecretMount
from project_migration.engine.world import Migration
from project_migration.model.document import Compute, Helper
from project_migration.model.endpoints import Volume
from project_migration.model.labels import (
    MANAGED_BY,
    NAME,
    NETWORK,
    NETWORK_SERVER,
    OPERATOR,
    REQUEST,
    REQUEST_DIGEST,
    STEP,
    UID,
    UNIT,
)
from project_migration.model.records import Request
from project_migration.settings import Settings

CONTAINER = "helper"
REQUEST_DIRECTORY = "/etc/project-migration"
REQUEST_FILE = f"{REQUEST_DIRECTORY}/request.json"
TERMINATION_LOG = "/dev/termination-log"
MOUNTS = PurePosixPath("/mnt")
WORKSPACE = "workspace"

#: The name of a Job becomes a label of its pods.
NAME_LIMIT = 63

#: What root may do in a helper that keeps or sets owners; all of it within the Pod Security level `baseline`.
#: Not SETFCAP: a helper that could write file capabilities could plant a privileged program in a volume. Files that
#: have any are counted as not preserved.
OWNERS_CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "MKNOD")

CAPABILITIES = {Rights.NONE: (), Rights.OWNERS: OWNERS_CAPABILITIES, Rights.WORKSPACE: ("DAC_OVERRIDE",)}

#: Below it lie Secrets, each a directory of files.
SECRETS = PurePosixPath("/run/project-migration")

#: A mesh's sidecar would outlive the worker, and an autoscaler would move a copy of some hours for a better fit.
#: https://istio.io/latest/docs/setup/additional-setup/sidecar-injection/, https://linkerd.io/2/features/proxy-injection/
#: https://github.com/kubernetes/autoscaler/blob/master/cluster-autoscaler/FAQ.md, https://karpenter.sh/docs/concepts/disruption/
UNDISTURBED = {
    "sidecar.istio.io/inject": "false",
    "linkerd.io/inject": "disabled",
    "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
    "karpenter.sh/do-not-disrupt": "true",
}

#: Our image is one for Linux; what the document says comes on top.
LINUX = {"kubernetes.io/os": "linux"}

_WORKER = re.compile(r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*$")
_ROOT = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_LABEL = re.compile(r"^[A-Za-z0-9]([-._A-Za-z0-9]{0,61}[A-Za-z0-9])?$")


def label_value(text: str) -> str:
    """``text`` where it can be a label's value, else its beginning and a digest: 63 characters of a narrow alphabet."""
    if _LABEL.match(text):
        return text
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    head = re.sub(r"[^A-Za-z0-9]+", "-", text)[:52].strip("-")
    return f"{head}-{digest}" if head else digest


def root_path(root: str, volume: Volume) -> str:
    """Where a worker finds a root: below the mount of the whole claim."""
    base = MOUNTS / root
    if not volume.sub_path:
        return str(base)
    parts = PurePosixPath(volume.sub_path).parts
    if ".." in parts or parts[:1] == ("/",):
        raise ValueError(f"subPath {volume.sub_path!r} does not stay inside the claim")
    return str(base.joinpath(*parts))


def job(spec: HelperSpec, migration: Migration, settings: Settings) -> Json:
    """The helper's Job, suspended: it makes no pod before it is started."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": job_metadata(spec, migration),
        "spec": {
            "suspend": True,
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 0,
            # never a second pod while the first may still write
            "podReplacementPolicy": "Failed",
            "template": pod_template(spec, migration, settings),
        },
    }


def job_metadata(spec: HelperSpec, migration: Migration, **notes: str) -> Json:
    """By which a helper's Job is found again, and goes with its migration. ``notes``: further annotations."""
    if len(spec.name) > NAME_LIMIT:
        raise ValueError(f"helper name {spec.name!r} is longer than {NAME_LIMIT}")
    return {
        "name": spec.name,
        "namespace": migration.key.namespace,
        "labels": labels(spec.request),
        "annotations": {NAME: migration.key.name, REQUEST_DIGEST: spec.request.digest, **notes},
        "ownerReferences": [owner_reference(migration)],
    }


def dry_run_pod(spec: HelperSpec, migration: Migration, settings: Settings) -> Json:
    """The helper's pod by itself, to be offered to admission under a name that nobody has."""
    template = pod_template(spec, migration, settings)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            **template["metadata"],
            "generateName": f"{spec.name}-",
            "namespace": migration.key.namespace,
        },
        "spec": template["spec"],
    }


def pod_template(spec: HelperSpec, migration: Migration, settings: Settings) -> Json:
    mounts = _with_workspace(spec)
    for mount in mounts:
        _check(mount, migration.key.namespace)
    request = _with_roots(spec, mounts)
    return {
        "metadata": {
            "labels": {**labels(spec.request), **_network(spec), "sidecar.istio.io/inject": "false"},
            "annotations": {NAME: migration.key.name, REQUEST: request.to_json(), **UNDISTURBED},
        },
        "spec": {
            "restartPolicy": "Never",
            "serviceAccountName": settings.helper_service_account,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "imagePullSecrets": [{"name": name} for name in settings.helper_pull_secrets],
            "securityContext": _pod_security(spec, mounts, settings),
            "containers": [_container(spec, mounts, settings)],
            "volumes": [
                *_volumes(mounts, settings, claimless_workspace=spec.workspace is None),
                *_secret_volumes(spec, mounts, settings),
            ],
            **_placement(spec.helper, spec.nodes),
        },
    }


def labels(request: Request) -> dict[str, str]:
    """By these helpers are found, and counted by people. The migration's whole name is an annotation beside them."""
    return {
        MANAGED_BY: OPERATOR,
        UID: request.migration_uid,
        NAME: label_value(request.migration_name),
        STEP: label_value(request.step),
        UNIT: label_value(request.unit),
    }


def _network(spec: HelperSpec) -> dict[str, str]:
    """By this a NetworkPolicy lets out those that talk to a server, and no others."""
    return {NETWORK: NETWORK_SERVER} if spec.network else {}


def owner_reference(migration: Migration) -> Json:
    """Has the object go with the migration. It never blocks the migration's own deletion: our finalizer does that,
    and only for as long as workloads are not back."""
    return {
        "apiVersion": MIGRATIONS.api_version,
        "kind": MIGRATIONS.kind,
        "name": migration.key.name,
        "uid": migration.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def claim(effect: EnsureClaim, migration: Migration) -> Json:
    """A workspace of our own goes with the migration; a target stays, whatever becomes of the migration."""
    spec: Json = {"accessModes": list(effect.access_modes), "resources": {"requests": {"storage": effect.size}}}
    if effect.storage_class is not None:
        spec["storageClassName"] = effect.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": effect.name,
            "namespace": migration.key.namespace,
            "labels": {MANAGED_BY: OPERATOR, UID: migration.uid, NAME: label_value(migration.key.name)},
            "annotations": {NAME: migration.key.name},
            **({} if effect.stays else {"ownerReferences": [owner_reference(migration)]}),
        },
        "spec": spec,
    }


def _with_workspace(spec: HelperSpec) -> tuple[Mount, ...]:
    if spec.workspace is None:
        return spec.mounts
    return (*spec.mounts, Mount(root=WORKSPACE, volume=spec.workspace, read_only=False))


def _with_roots(spec: HelperSpec, mounts: Iterable[Mount]) -> Request:
    roots = {mount.root: root_path(mount.root, mount.volume) for mount in mounts}
    roots |= {secret.root: str(SECRETS / secret.root) for secret in spec.secrets}
    return replace(spec.request, roots={WORKSPACE: str(MOUNTS / WORKSPACE), **roots})


def _pod_security(spec: HelperSpec, mounts: Iterable[Mount], settings: Settings) -> Json:
    profile: Json = {"seccompProfile": {"type": "RuntimeDefault"}}
    if spec.rights is not Rights.NONE:
        return {**profile, "runAsNonRoot": False, "runAsUser": 0, "runAsGroup": 0}
    user = spec.user if spec.user is not None else settings.helper_user
    group = spec.group if spec.group is not None else user
    if user is None or group is None:
        return {**profile, "runAsNonRoot": True}
    security = {**profile, "runAsNonRoot": True, "runAsUser": user, "runAsGroup": group}
    if not _shared_with_a_source(mounts):
        # so that an ordinary user can write to a fresh volume. A volume that is mounted read-only is left as it is:
        # kubernetes/pkg/volume/csi/csi_mounter.go, supportsFSGroup
        security |= {"fsGroup": group, "fsGroupChangePolicy": "OnRootMismatch"}
    return security


def _shared_with_a_source(mounts: Iterable[Mount]) -> bool:
    """Whether a claim is mounted both to be read and to be written: its source half must keep its groups."""
    mounts = tuple(mounts)
    read = {mount.volume.claim_name for mount in mounts if mount.read_only}
    return any(mount.volume.claim_name in read for mount in mounts if not mount.read_only)


def command(worker: str) -> list[str]:
    """The program of a helper, found in the operator's own image."""
    if not _WORKER.match(worker):
        raise ValueError(f"{worker!r} is not a worker's name")
    return ["python", "-m", f"project_migration.workers.{worker}"]


def _container(spec: HelperSpec, mounts: Iterable[Mount], settings: Settings) -> Json:
    names = _volume_names(mounts)
    capabilities: Json = {"drop": ["ALL"]}
    if CAPABILITIES[spec.rights]:
        capabilities["add"] = list(CAPABILITIES[spec.rights])
    volume_mounts = [
        {
            "name": names[str(mount.volume.claim_name)],
            "mountPath": str(MOUNTS / mount.root),
            "readOnly": mount.read_only,
        }
        for mount in mounts
    ]
    if spec.workspace is None:
        volume_mounts.append({"name": WORKSPACE, "mountPath": str(MOUNTS / WORKSPACE)})
    volume_mounts += [
        {"name": _secret_volume(secret), "mountPath": str(SECRETS / secret.root), "readOnly": True}
        for secret in spec.secrets
    ]
    volume_mounts += [
        {"name": "request", "mountPath": REQUEST_DIRECTORY, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a volume of the pod's own
    ]
    return {
        "name": CONTAINER,
        "image": _image(spec, settings),
        "imagePullPolicy": settings.helper_pull_policy,
        "command": command(spec.request.worker),
        "args": ["--request", REQUEST_FILE, "--termination-log", TERMINATION_LOG],
        "env": [
            {"name": "HOME", "value": "/tmp"},  # noqa: S108
            {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
            {"name": "PYTHONUNBUFFERED", "value": "1"},
        ],
        "terminationMessagePath": TERMINATION_LOG,
        "terminationMessagePolicy": "File",
        "resources": _resources(spec.helper),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": capabilities,
        },
        "volumeMounts": volume_mounts,
    }


def _image(spec: HelperSpec, settings: Settings) -> str:
    if spec.client_major is None:
        return settings.helper_image
    return settings.helper_postgres_images.get(spec.client_major, settings.helper_image)


def _resources(helper: Helper) -> Json:
    def amounts(compute: Compute) -> Mapping[str, str]:
        return {name: str(value) for name, value in compute.model_dump(exclude_none=True).items()}

    return {"requests": amounts(helper.resources.requests), "limits": amounts(helper.resources.limits)}


def _check(mount: Mount, namespace: str) -> None:
    """Documents that say otherwise were refused long before; no pod is made from one that slipped through."""
    volume = mount.volume
    elsewhere = volume.namespace not in (None, namespace) or volume.cluster is not None
    if volume.claim_name is None or volume.path is not None or elsewhere:
        raise ValueError(f"root {mount.root!r} is no claim of namespace {namespace}")
    if not _ROOT.match(mount.root):
        raise ValueError(f"{mount.root!r} cannot be a root's name")


def _volume_names(mounts: Iterable[Mount]) -> dict[str, str]:
    """One volume a claim: a pod that lists a claim twice may hang in mounting."""
    claims = dict.fromkeys(str(mount.volume.claim_name) for mount in mounts)
    return {claim: f"claim-{position}" for position, claim in enumerate(claims)}


def _volumes(mounts: Iterable[Mount], settings: Settings, *, claimless_workspace: bool) -> list[Json]:
    mounts = tuple(mounts)
    written = {str(mount.volume.claim_name) for mount in mounts if not mount.read_only}
    volumes: list[Json] = [
        {"name": name, "persistentVolumeClaim": {"claimName": claim, "readOnly": claim not in written}}
        for claim, name in _volume_names(mounts).items()
    ]
    scratch = {"emptyDir": {"sizeLimit": settings.helper_scratch}}
    if claimless_workspace:
        volumes.append({"name": WORKSPACE, **scratch})
    request = {"path": "request.json", "fieldRef": {"fieldPath": f"metadata.annotations['{REQUEST}']"}}
    volumes += [{"name": "request", "downwardAPI": {"items": [request]}}, {"name": "tmp", **scratch}]
    return volumes


def _secret_volume(secret: SecretMount) -> str:
    return f"secret-{secret.root}"


def _secret_volumes(spec: HelperSpec, mounts: Iterable[Mount], settings: Settings) -> list[Json]:
    """One a root, in memory on the node, with the keys that are needed. Never optional: a Secret that is missing
    keeps the pod from starting, and the kubelet says which."""
    security = _pod_security(spec, mounts, settings)
    # the files belong to root and to fsGroup; without a group all users of the pod are one: its only container's
    mode = 0o440 if "fsGroup" in security or security.get("runAsUser") == 0 else 0o444
    return [
        {
            "name": _secret_volume(secret),
            "secret": {
                "secretName": secret.secret,
                "defaultMode": mode,
                **({"items": [{"key": key, "path": file} for key, file in secret.keys]} if secret.keys else {}),
            },
        }
        for secret in spec.secrets
    ]


def _placement(helper: Helper, nodes: tuple[str, ...]) -> Json:
    placement: Json = {"nodeSelector": {**LINUX, **helper.node_selector}}
    if helper.tolerations:
        placement["tolerations"] = [
            toleration.model_dump(by_alias=True, exclude_none=True) for toleration in helper.tolerations
        ]
    if nodes:
        # terms are alternatives: a node by its name (the API takes one value a term), or by the host name that
        # volumes of one machine are pinned to
        hosts = [{"key": HOSTNAME, "operator": "In", "values": list(nodes)}]
        named = [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]} for node in nodes]
        required = {"nodeSelectorTerms": [*named, {"matchExpressions": hosts}]}
        placement["affinity"] = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}
    return placement
