"""Against programs that answer as the real ones do; their output was taken from the manuals named in the module."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from project_migration.backends.local.controllers import Compose, Running, Systemd, containers
from project_migration.model.errors import PassingError

DOCKER = """#!/bin/sh
here=$(dirname "$0")
echo "$(pwd): $*" >> "$here/calls"
case "$*" in
"compose config --services") printf 'db\\nweb\\n' ;;
"compose ps --all --format json web") cat "$here/ps" ;;
"compose stop web") : > "$here/ps" ;;
"compose up "*) : ;;
*) echo "unknown command: $*" >&2; exit 14 ;;
esac
"""

SYSTEMCTL = """#!/bin/sh
here=$(dirname "$0")
echo "$*" >> "$here/calls"
case "$*" in
"show --property LoadState --value gone.service") echo not-found ;;
"show --property LoadState --value "*) echo loaded ;;
"show --property Unit --value nightly.timer") echo nightly.service ;;
"show --property ActiveState --value "*) cat "$here/$5" 2>/dev/null || echo inactive ;;
esac
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in (("docker", DOCKER), ("systemctl", SYSTEMCTL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "ps").touch()
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def lines(*states: str) -> str:
    return "".join(json.dumps({"Name": f"app-web-{n}", "State": s}) + "\n" for n, s in enumerate(states, 1))


@pytest.mark.parametrize("joined", [False, True], ids=["an object a line (2.21 and later)", "an array (before)"])
def test_both_forms_of_compose_ps_are_read(joined: bool) -> None:
    found = [{"Name": "a", "State": "running"}, {"Name": "b", "State": "exited"}]
    text = json.dumps(found) if joined else "\n".join(map(json.dumps, found))
    assert containers(text) == found


def test_what_compose_prints_instead_of_json_is_shown() -> None:
    with pytest.raises(PassingError, match="time=warning"):
        containers("time=warning msg=...")


def test_containers_of_a_service_are_counted_unless_they_rest(programs: Path) -> None:
    (programs / "ps").write_text(lines("running", "paused", "exited", "restarting", "created"))
    found = Compose("web", str(programs)).running()
    assert found == Running(3, ("app-web-1", "app-web-2", "app-web-4"))


def test_a_service_that_the_compose_file_lacks_does_not_exist(programs: Path) -> None:
    assert Compose("nope", str(programs)).running() is None


def test_compose_runs_in_the_directory_of_its_file_and_brings_back_the_same_number(programs: Path) -> None:
    compose = Compose("web", str(programs))
    compose.stop()
    compose.start(3)
    assert (programs / "calls").read_text().splitlines() == [
        f"{programs}: compose stop web",
        f"{programs}: compose up --detach --no-build --no-recreate --no-deps --scale web=3 web",
    ]


def test_a_machine_without_docker_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PassingError, match="`docker compose config --services` cannot be run: No such file"):
        Compose("web", str(tmp_path)).running()


def test_a_unit_that_systemd_does_not_know_does_not_exist(programs: Path) -> None:
    assert Systemd("gone.service").running() is None


def test_an_active_unit_runs_once(programs: Path) -> None:
    assert Systemd("db.service").running() == Running(0)
    (programs / "db.service").write_text("active\n")
    assert Systemd("db.service").running() == Running(1, ("db.service",))


def test_a_stopped_timer_has_ended_only_when_its_service_has(programs: Path) -> None:
    (programs / "nightly.service").write_text("activating\n")
    assert Systemd("nightly.timer").running() == Running(0, ("nightly.service",))
