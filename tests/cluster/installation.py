"""kubectl and helm, for tests that install the operator as its users do, in ways of their own."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.cluster.node import Tools

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm/project-migration-operator"
RELEASE = "project-migration-operator"
Json = dict[str, Any]


class Refused(Exception):
    """A command failed; the message is what it said."""


@dataclass(frozen=True)
class Cluster:
    tools: Tools

    def run(self, *argv: str | Path, stdin: str | None = None, seconds: float = 180) -> str:
        done = subprocess.run(
            [str(argument) for argument in argv],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            env=self.tools.env,
            cwd=ROOT,
            check=False,
        )
        if done.returncode != 0:
            raise Refused(f"{' '.join(map(str, argv))}\n{done.stdout}{done.stderr}")
        return done.stdout

    def kubectl(self, *arguments: str | Path, stdin: str | None = None) -> str:
        return self.run(self.tools.kubectl, *arguments, stdin=stdin)

    def get(self, *arguments: str) -> Json:
        return json.loads(self.kubectl("get", "--output=json", *arguments))

    def apply(self, *objects: Json, dry_run: bool = False, who: str = "") -> str:
        flags = ["--dry-run=server"] if dry_run else []
        flags += [f"--as={who}"] if who else []
        return self.kubectl("apply", *flags, "--filename=-", stdin=yaml.safe_dump_all(objects))

    def may(self, who: str, verb: str, resource: str, namespace: str) -> bool:
        kind, _, part = resource.partition("/")  # kubectl would take what follows the slash for a name
        asked = ("auth", "can-i", verb, kind, f"--subresource={part}", f"--namespace={namespace}", f"--as={who}")
        return self.run("sh", "-c", '"$@" 2>/dev/null || true', "sh", self.tools.kubectl, *asked).strip() == "yes"

    def helm(self, *arguments: str | Path, values: Json | None = None) -> str:
        flags = ["--values=-"] if values is not None else []
        stdin = yaml.safe_dump(values) if values is not None else None
        return self.run(self.tools.helm, *arguments, *flags, stdin=stdin, seconds=300)

    def render(self, values: Json, namespace: str = "project-migration") -> list[Json]:
        text = self.helm("template", RELEASE, CHART, f"--namespace={namespace}", values=values)
        return [found for found in yaml.safe_load_all(text) if found]

    def install(self, namespace: str, values: Json) -> str:
        """Install or upgrade, and wait until the operator is ready."""
        name, _, tag = self.tools.operator_image.rpartition(":")
        ours = {"image": {"repository": name, "tag": tag}, **values}
        # another release may have brought the CRD already
        flags = ("--install", "--take-ownership", "--wait", "--timeout=2m")
        return self.helm("upgrade", RELEASE, CHART, f"--namespace={namespace}", *flags, values=ours)

    def uninstall(self, namespace: str) -> None:
        self.helm("uninstall", RELEASE, f"--namespace={namespace}", "--ignore-not-found", "--wait")

    @contextmanager
    def namespaces(self, *purposes: str) -> Iterator[list[str]]:
        tag = uuid.uuid4().hex[:6]
        names = [f"{purpose}-{tag}" for purpose in purposes]
        self.apply(*({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names))
        try:
            yield names
        finally:
            for name in names:
                self.forget(name)
            self.kubectl("delete", "namespace", *names, "--wait=false")

    def forget(self, namespace: str) -> None:
        """Delete migrations whose operator is not there any more to take its finalizer off."""
        here = f"--namespace={namespace}"
        with suppress(Refused):  # there may be no such kind
            self.kubectl("delete", "projectmigrations", here, "--all", "--wait=false")
            for found in self.kubectl("get", "projectmigrations", here, "--output=name").split():
                self.kubectl("patch", found, here, "--type=merge", '--patch={"metadata": {"finalizers": null}}')
