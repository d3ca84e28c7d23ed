"""Failures at will, kills, and bad input: nothing twice, nothing lost in silence, nothing changed for nothing."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.local.mlflow_api.case import Case
from tests.local.mlflow_api.conftest import ADMIN, Servers
from tests.local.mlflow_api.faults import Fault, Rule, faulty

VISION: dict[str, Any] = {"experiments": {"include": ["vision/*"]}, "models": {"include": ["none"]}}


def make(servers: Servers, place: Path, name: str, target: str = "", select: dict[str, Any] | None = None) -> Case:
    """Into the second server, through ``target`` where a proxy stands before it, under a name of its own."""
    case = Case(place, {"trackingUri": servers.source.url}, {"trackingUri": target or servers.second.url})
    case.select = select or VISION
    case.more = {"rename": {"experiments": {"vision/a": name}}, "workers": 3}
    return case


def names(servers: Servers, experiment: str) -> list[str]:
    return servers.second.names(experiment)


@pytest.mark.parametrize("fault", [Fault.BUSY, Fault.TOO_MANY, Fault.LOST_ANSWER, Fault.LOST_REQUEST])
def test_errors_that_pass_leave_neither_gaps_nor_doubles(servers: Servers, tmp_path: Path, fault: Fault) -> None:
    paths = ("runs/create", "log-batch", "PUT .*large.bin", "experiments/create", "POST .*logged-models$", "v1/traces")
    name = f"through {fault.name}"
    with faulty(servers.second.url, *(Rule(path, fault) for path in paths)) as faults:
        case = make(servers, tmp_path, name, faults.url, {**VISION, "experiments": {"include": ["vision/*"]}})
        copied = case.run("copy")
        assert faults.happened >= len(paths) - 1  # traces are there from an earlier case
        assert all(line.startswith("trace ") for line in case.listed(copied, "failed")), copied.message
        assert names(servers, name) == ["child", "first", "parent"]
        verified = case.run("verify")
        assert all(line.startswith("trace ") for line in case.listed(verified, "missing")), verified.message
        assert "different" not in verified.lists


def test_an_object_that_fails_for_good_is_named_and_the_others_arrive(servers: Servers, tmp_path: Path) -> None:
    with faulty(servers.second.url, Rule("PUT .*large.bin", Fault.REFUSED, times=-1)) as faults:
        case = make(servers, tmp_path, "one fails", faults.url)
        record = case.run("copy")
        assert record.reason == "CopyIncomplete"
        run = servers.population.runs["first"]
        failed = [line.partition("\t")[0] for line in case.listed(record, "failed") if not line.startswith("trace ")]
        assert failed == [f"run {run}: large.bin"]
        assert names(servers, "one fails") == ["child", "first", "parent"]
    again = make(servers, tmp_path, "one fails")
    again.uid = case.uid
    mended = again.run("copy")
    assert mended.counts["runsResumed"] == 1
    assert mended.counts["files"] == 1


def test_a_helper_that_is_killed_is_taken_up_without_doubles(servers: Servers, tmp_path: Path) -> None:
    case = make(servers, tmp_path, "killed")
    for seconds in (0.9, 1.5, 2.2):
        with case.start("copy", "copy") as process:
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
    case.run("copy", "copy")
    assert names(servers, "killed") == ["child", "first", "parent"]
    verified = case.run("verify")
    assert "different" not in verified.lists
    assert all(line.startswith("trace ") for line in case.listed(verified, "missing"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"source": {"trackingUri": "http://127.0.0.1:9"}}, "ServerUnreachable"),
        ({"source": {"trackingUri": "http://no-such-host.invalid:5000"}}, "ServerUnreachable"),
        ({"target": {"trackingUri": "GUARDED"}}, "AuthenticationFailed"),
        ({"source": {"trackingUri": "SOURCE/api"}}, "NotMlflow"),
        ({"target": {"trackingUri": "SOURCE"}}, "PathsOverlap"),
        ({"select": {"experiments": {"include": ["nothing"]}, "models": {"include": ["no"]}}}, "NothingSelected"),
        ({"onConflict": "Fail", "rename": {"experiments": {"vision/a": "taken"}}}, "NameClash"),
        ({"rename": {"experiments": {"vision/a": "dropped"}}}, "NameClash"),
        ({"source": {"archive": {"root": "workspace"}}}, "ArchiveUnreadable"),
    ],
)
def test_what_stands_in_the_way_is_told_before_anything_is_written(
    servers: Servers, tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    for name in ("taken", "dropped"):
        if name not in servers.second.experiments():
            made = servers.second.post("experiments/create", {"name": name})
            if name == "dropped":
                servers.second.post("experiments/delete", made)
    case = make(servers, tmp_path, "wrong")
    sides = {"GUARDED": servers.guarded.url, "SOURCE": servers.source.url}
    for side in ("source", "target"):
        uri = change.get(side, {}).get("trackingUri", "")
        for word, url in sides.items():
            uri = uri.replace(word, url)
        if uri:
            change = {**change, side: {"trackingUri": uri}}
    case.more = {**case.more, **change}
    record = case.good("survey")
    assert reason in [one["reason"] for one in record.facts["problems"]["found"]], record.facts["problems"]
    assert names(servers, "wrong") == []


def test_wrong_credentials_are_told_and_never_shown(servers: Servers, tmp_path: Path) -> None:
    case = make(servers, tmp_path, "wrong", servers.guarded.url)
    case.secret("target", username=ADMIN, password="wrong-secret-word")
    record = case.run("copy")
    assert record.reason == "AuthenticationFailed"
    assert "wrong-secret-word" not in case.said + record.to_json()


@pytest.mark.parametrize(
    "uri", ["http://me:secret-word@127.0.0.1:5000", "file:///srv", "http://127.0.0.1:5000/?a=b", "", "http://:0"]
)
def test_an_address_that_is_none_or_names_a_user_is_refused(servers: Servers, tmp_path: Path, uri: str) -> None:
    case = make(servers, tmp_path, "wrong")
    record = case.run("copy", source={"trackingUri": uri})
    assert record.reason == "InvalidDocument"
    assert "secret-word" not in case.said + record.to_json()


def test_a_listed_file_that_is_gone_fails_unless_that_is_allowed(servers: Servers, tmp_path: Path) -> None:
    with faulty(servers.source.url, Rule("GET .*/note.txt", Fault.MISSING, times=-1)) as faults:
        case = make(servers, tmp_path / "a", "one is gone")
        case.source = {"trackingUri": faults.url}
        record = case.run("copy")
        assert any("note.txt\t" in line for line in case.listed(record, "failed"))
        assert len(case.listed(record, "missing")) == 1
        case.select = {**VISION, "missingArtifacts": "Allow"}
        allowed = case.run("copy")
        assert not any("note.txt" in line for line in case.listed(allowed, "failed"))
        assert len(case.listed(allowed, "missing")) == 1
