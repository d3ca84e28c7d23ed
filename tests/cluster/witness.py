"""Writes down what can be seen of a namespace while something happens in it, to be searched for what must not be there.

Objects come by watches, so that one that lived for a second is seen too; logs are followed from each helper's start;
command lines and environments are those of every process of the machine on which the node is.
"""

from __future__ import annotations

import base64
import io
import subprocess
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from tests.cluster.kube import Kube
from tests.planted import Processes

WATCHED = ("jobs", "pods", "events", "projectmigrations", "leases", "configmaps", "persistentvolumeclaims")
HELPERS = "app.kubernetes.io/managed-by=project-migration-operator"


class Witness:
    """``with Witness(kube, directory) as seen: …``; afterwards ``seen.texts()``."""

    def __init__(self, kube: Kube, directory: Path) -> None:
        self._kube = kube
        self._directory = directory
        self._running: list[subprocess.Popen[bytes]] = []
        self._followed: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._follow_helpers)
        self.processes = Processes()

    def __enter__(self) -> Witness:
        for kind in WATCHED:
            self._record(kind, "get", kind, "--watch", "--output=json", "--show-managed-fields")
        self._thread.start()
        self.processes.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self.processes.__exit__(kind, error, trace)
        self._thread.join(30)
        for process in self._running:
            process.terminate()
            process.wait(10)

    def _record(self, name: str, *words: str) -> None:
        argv = (str(self._kube.tools.kubectl), "--namespace", self._kube.namespace, *words)
        with (self._directory / name).open("wb") as file:
            process = subprocess.Popen(argv, stdout=file, stderr=subprocess.DEVNULL, env=self._kube.tools.env)
        self._running.append(process)

    def _follow_helpers(self) -> None:
        while not self._over.wait(0.2):
            for pod in self._kube.list("pods", HELPERS):
                name = pod["metadata"]["name"]
                begun = any("state" in found and "waiting" not in found["state"] for found in _containers(pod))
                if begun and name not in self._followed:
                    self._followed.add(name)
                    self._record(f"log-{name}", "logs", "--follow", name)

    def watched(self, kind: str) -> str:
        return (self._directory / kind).read_text()

    @property
    def logs(self) -> dict[str, str]:
        """What each helper has said, by its pod's name."""
        return {file.name.removeprefix("log-"): file.read_text() for file in self._directory.glob("log-*")}

    def texts(self) -> Iterator[tuple[str, bytes]]:
        """Everything that was seen, each with what to call it."""
        for file in sorted(self._directory.iterdir()):
            yield file.name, file.read_bytes()
        yield from self.processes.texts()


def _containers(pod: dict[str, object]) -> list[dict[str, object]]:
    status = pod.get("status")
    assert isinstance(status, dict)
    return list(status.get("containerStatuses", ()))


def files_in(kube: Kube, *claims: str) -> Iterator[tuple[str, bytes]]:
    """Every file of some claims."""
    script = f"cd /claims; tar cf - {' '.join(claims)} | base64 --wrap=0"
    archive = base64.b64decode(kube.run("take-all", script, *claims))
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        for member in files:
            content = files.extractfile(member) if member.isreg() else None
            if content is not None:
                yield member.name, content.read()
