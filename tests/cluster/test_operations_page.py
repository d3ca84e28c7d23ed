"""The commands of docs/operations.md for a cluster, each section in a state that is prepared as it says.

The page's database is left out of its document: databases in a cluster have tests of their own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.kube import Kube, describe, wait
from tests.cluster.test_disruptions import helper_pod
from tests.pages import OPERATIONS, Command, assert_shown, file_in, sections

PROGRAMS = Path(sys.executable).parent
CLUSTER = sections(OPERATIONS, in_a_cluster=True)
CLAIMS = ("files-old", "files-new", "migration-work", "migration-backup")
THEIRS = "cat /claims/files-new/theirs; ls -A /claims/files-new"
CHANGES = "while true; do date +%N >> /claims/files-old/large; sleep 0.2; done"
FAILS = {"onFailure": "Halt", "retries": 0}


class Evening:
    """A namespace with what the page's document names, and a reader who types its commands there."""

    def __init__(self, kube: Kube, directory: Path) -> None:
        self.kube = kube
        self.directory = directory
        kube.claims(*CLAIMS)
        kube.run("fill", "cd /claims; echo weights > files-old/weights; echo theirs > files-new/theirs", *CLAIMS[:2])
        kube.deployment("web", 2, "files-old")
        kube.deployment("store", 1, "files-new", kind="StatefulSet")
        kube.ready("deployment", "web", 2)
        kube.ready("statefulset", "store", 1)
        self.write()

    def write(self, **spec: Any) -> None:
        document = yaml.safe_load(file_in(OPERATIONS, "vision.yaml"))
        del document["spec"]["volumes"]["databases"]
        document["metadata"]["namespace"] = self.kube.namespace
        document["spec"].update(spec)
        (self.directory / "vision.yaml").write_text(yaml.safe_dump(document))

    def call(self, command: Command) -> subprocess.CompletedProcess[str]:
        words = (self.kube.namespace if word == "ml" else word for word in command.argv[1:])
        kubectl = self.kube.tools.kubectl
        path = f"{PROGRAMS}{os.pathsep}{self.kube.tools.env['PATH']}"
        return subprocess.run(
            (str(kubectl), *words), cwd=self.directory, env={**self.kube.tools.env, "PATH": path, "COLUMNS": "200"},
            capture_output=True, text=True, timeout=180, check=False,
        )  # fmt: skip

    def apply(self, **spec: Any) -> None:
        self.write(**spec)
        self.kube.kubectl("apply", "-f", str(self.directory / "vision.yaml"))

    def ended(self, *phases: str) -> None:
        status = self.kube.ended("vision")
        assert status["phase"] in phases, describe(status)

    # --- states before the commands

    def has_arrived(self) -> None:
        self.apply()
        self.ended("Succeeded")

    def is_held(self) -> None:
        """Somebody writes to the source while it is copied, and does not stop."""
        self.kube.run("large", "head -c 30000000 /dev/urandom > /claims/files-old/large", "files-old")
        self.apply(transfer={"bandwidth": "2Mi"}, **FAILS)
        helper_pod(self.kube, "copy")
        self.kube.apply(self.kube.a_pod("change", CHANGES, ("files-old",)))
        self.ended("Failed")
        self.kube.delete("pod", "change", "--grace-period=0", "--force")
        assert self.kube.status("vision")["failureReason"] == "SourceChanged"
        assert self.kube.replicas("statefulset", "store") == 0

    def has_failed(self) -> None:
        self.apply(backup=None)
        self.ended("Failed")
        self.kube.run("empty", "rm /claims/files-new/theirs", "files-new")

    def waits_for_approval(self) -> None:
        self.apply(cutover={"mode": "Manual"})
        self.kube.phase("vision", "AwaitingCutover")

    # --- what has to be so after them

    def arrived(self) -> None:
        self.ended("Succeeded")
        assert self.kube.run("look", "cat /claims/files-new/weights", "files-new") == "weights\n"
        self.at_work()

    def as_before(self) -> None:
        self.ended("Undone", "Failed", "Cancelled")
        wait(lambda: not self.kube.status("vision").get("firstWriteAt"), "the target to be put back", 120)
        assert self.kube.run("look", THEIRS, "files-new").split() == ["theirs", "theirs"]
        self.at_work()

    def gone_and_kept(self) -> None:
        wait(lambda: self.kube.get("pmig", "vision") is None, "the migration to be gone", 60)
        assert self.kube.run("look", "cat /claims/files-new/weights", "files-new") == "weights\n"
        assert "theirs" in self.kube.run("kept", "find /claims/migration-backup", "migration-backup")

    def at_work(self) -> None:
        self.kube.ready("deployment", "web", 2)
        self.kube.ready("statefulset", "store", 1)

    def goes_on(self) -> None:
        assert self.kube.status("vision")["phase"] == "AwaitingCutover"
        self.kube.patch("pmig", "vision", {"spec": {"cutover": {"approved": True}}})
        self.arrived()


State = Callable[[Evening], None]

STATES: dict[str, tuple[State, State]] = {
    "The whole way": (lambda _: None, Evening.arrived),
    "Undo": (Evening.has_arrived, Evening.as_before),
    "Forget": (Evening.has_arrived, Evening.gone_and_kept),
    "Roll back by hand": (Evening.is_held, Evening.as_before),
    "Release": (Evening.is_held, Evening.at_work),
    "Retry": (Evening.has_failed, Evening.arrived),
    "Suspend and cancel": (Evening.waits_for_approval, Evening.goes_on),
    "Cancel": (Evening.waits_for_approval, Evening.as_before),
    "Approve": (Evening.waits_for_approval, Evening.arrived),
}


def test_every_section_with_commands_is_run() -> None:
    assert CLUSTER.keys() == STATES.keys()


@pytest.fixture
def evening(kube: Kube, tmp_path: Path) -> Evening:
    return Evening(kube, tmp_path)


@pytest.mark.parametrize("section", STATES)
def test_the_commands_do_what_the_page_says(evening: Evening, section: str) -> None:
    before, after = STATES[section]
    before(evening)
    for command in CLUSTER[section]:
        done = evening.call(command)
        assert done.returncode == command.exit_code, f"{command}: {done.stdout}{done.stderr}"
        assert_shown(command, (done.stdout + done.stderr).replace(f"{evening.kube.namespace}/", "ml/"))
    after(evening)
