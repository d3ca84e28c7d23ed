"""Building the Go programs, once for each state of their sources."""

import os
import re
import shutil
from pathlib import Path

from tests.cluster.node.place import HERE
from tests.cluster.node.shell import NodeError, run, step
from tests.cluster.node.store import digest, once

SOURCES = ("go.mod", "go.sum", "main.go", "provisioner.go", "pause/main.go")
COMPONENTS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kube-proxy",
    "kubelet",
    "kubectl",
    "coredns",
    "provisioner",
)


def ensure() -> Path:
    """The folder with the components, each under its own name, and ``pause``."""
    return once("programs", digest(HERE / name for name in SOURCES), _build)


def _build(folder: Path) -> None:
    with step("building Kubernetes", slow="some five minutes on two cores"):
        go_build(folder / "node", ".", flags=f"-s -w {_version_flags()}")
        go_build(folder / "pause", "./pause", flags="-s -w")
    for component in COMPONENTS:
        (folder / component).symlink_to("node")


def _version_flags() -> str:
    """The version that the programs report, which is otherwise v0.0.0 and misleads clients."""
    found = re.search(r"^\tk8s.io/kubernetes v(\d+)\.(\d+)\.(\d+)$", (HERE / "go.mod").read_text(), re.MULTILINE)
    if found is None:
        raise NodeError("go.mod does not name a version of k8s.io/kubernetes")
    major, minor, patch = found.groups()
    facts = {"gitVersion": f"v{major}.{minor}.{patch}", "gitMajor": major, "gitMinor": minor, "gitTreeState": "clean"}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    return " ".join(f"-X {package}.{fact}={value}" for package in packages for fact, value in facts.items())


def go_build(target: Path, package: str, *, flags: str) -> None:
    """Without C, so that the result runs in any image; and nicely, as it takes all cores."""
    env = {**os.environ, "CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": os.environ.get("GOTOOLCHAIN", "auto")}
    run("nice", go(), "build", "-trimpath", f"-ldflags={flags}", "-o", target, package, cwd=HERE, env=env, timeout=3600)


def go() -> str:
    """The Go tool."""
    found = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if found is None:
        raise NodeError("Go is not installed: it builds Kubernetes (https://go.dev/doc/install)")
    return found
