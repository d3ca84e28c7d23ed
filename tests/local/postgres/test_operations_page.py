"""The commands of docs/operations.md for one machine, each section in a place that is prepared as it says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.local.test_run import SERVICE, picture
from tests.local.test_run_kept import changing
from tests.pages import OPERATIONS, Command, assert_shown, file_in, sections
from tools.postgres_servers import PASSWORD, Server

PROGRAM = (sys.executable, "-m", "project_migration.cli.main")
LOCAL = sections(OPERATIONS, in_a_cluster=False)
SECONDS = 120


@dataclass
class Place:
    """What stands below /srv on the page, and the servers that it names."""

    path: Path
    databases: dict[str, tuple[Server, str]]
    """By the host that the page names."""
    before: dict[str, tuple[object, ...]] = field(default_factory=dict)
    """What users have in the target's directory."""

    @property
    def srv(self) -> Path:
        return self.path / "srv"

    @property
    def state(self) -> Path:
        return self.srv / "migrations" / "vision"

    def prepare(self) -> None:
        for name in ("old", "new", "backup", "app", "secrets", "migrations", "corrected"):
            (self.srv / name).mkdir(parents=True)
        (self.srv / "old" / "weights").write_bytes(os.urandom(100_000))
        (self.srv / "new" / "theirs").write_text("what users of the target have")
        self.before = picture(self.srv / "new")
        for service, count in (("web", 3), ("store", 2)):
            directory = self.path / service
            directory.mkdir()
            (directory / "count").write_text(f"{count}\n")
            (self.srv / "app" / service).write_text(SERVICE.replace('$(dirname "$0")', str(directory)))
            (self.srv / "app" / service).chmod(0o755)
        for secret in ("db-old", "db-new"):
            (self.srv / "secrets" / secret).mkdir()
            (self.srv / "secrets" / secret / "username").write_text("postgres")
            (self.srv / "secrets" / secret / "password").write_text(PASSWORD)
        (self.srv / "corrected" / "password").write_text(PASSWORD)
        self.write()

    def write(self, **spec: Any) -> None:
        """The page's document, with what a section changes in it, and with our servers in the place of its own."""
        document = yaml.safe_load(file_in(OPERATIONS, "vision.yaml"))
        for database in document["spec"]["volumes"]["databases"]:
            for side in ("source", "target"):
                server, name = self.databases[database[side]["postgres"]["host"]]
                database[side]["postgres"] = {"host": server.host, "port": server.port, "database": name}
        document["spec"].update(spec)
        (self.path / "vision.yaml").write_text(yaml.safe_dump(document))

    def argv(self, command: Command) -> tuple[str, ...]:
        words = tuple(word.replace("/srv/", f"{self.srv}/") for word in command.argv)
        return (*PROGRAM, *words[1:]) if words[0] == "project-migration" else words

    def environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("COLUMNS", "XDG"))}
        return {**kept, "XDG_STATE_HOME": str(self.path / "home"), "COLUMNS": "200"}

    def call(self, command: Command) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(command), capture_output=True, text=True, cwd=self.path, env=self.environment(),
            timeout=SECONDS, check=False,
        )  # fmt: skip

    def begin(self) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            self.argv(THE_RUN), stdout=pipe, stderr=pipe, text=True, cwd=self.path, env=self.environment()
        )

    def run(self, ends_with: int = 0) -> None:
        done = self.call(THE_RUN)
        assert done.returncode == ends_with, done.stdout + done.stderr

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.state / "state.json").read_text())["status"]
        return found

    def wait_for(self, phase: str) -> None:
        deadline = time.monotonic() + SECONDS
        while not (self.state / "state.json").exists() or self.status()["phase"] != phase:
            assert time.monotonic() < deadline, f"waited for {phase}"
            time.sleep(0.1)

    def count(self, service: str) -> int:
        return int((self.path / service / "count").read_text())

    def names_in_target_database(self) -> list[str]:
        server, database = self.databases["db.new.example.org"]
        with server.connect(database) as connection:
            rows = connection.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace"
                                      " AND relkind = 'r' ORDER BY relname").fetchall()  # fmt: skip
        return [row[0] for row in rows]

    # --- what has to hold afterwards

    def assert_arrived(self) -> None:
        weights = (self.srv / "old" / "weights").read_bytes()
        assert (self.srv / "new" / "weights").read_bytes() == weights
        assert self.names_in_target_database() == ["item"]
        assert any((self.srv / "backup").rglob("theirs")), "what the target held is kept"
        self.assert_at_work(web=3, store=2)

    def assert_as_before(self) -> None:
        assert picture(self.srv / "new") == self.before
        assert self.names_in_target_database() == ["precious"]
        self.assert_at_work(web=3, store=2)

    def assert_at_work(self, **counts: int) -> None:
        assert {service: self.count(service) for service in counts} == counts


THE_RUN = next(command for command in LOCAL["The whole way"] if command.argv[1] == "run")


@pytest.fixture
def place(tmp_path: Path, server_15: Server, server_18: Server) -> Iterator[Place]:
    name = re.sub(r"[^a-z0-9]", "_", tmp_path.name.lower())[-40:]
    with server_15.database(f"old_{name}") as old, server_18.database(f"new_{name}") as new:
        with server_15.connect(old) as connection:
            connection.execute("CREATE TABLE item AS SELECT n, 'item ' || n AS name FROM generate_series(1, 500) AS n")
        with server_18.connect(new) as connection:
            connection.execute("CREATE TABLE precious AS SELECT 1 AS one")
        servers = {"db.old.example.org": (server_15, old), "db.new.example.org": (server_18, new)}
        made = Place(tmp_path, servers)
        made.prepare()
        yield made


def has_failed_and_halted(place: Place) -> None:
    place.write(onFailure="Halt", retries=0)
    with changing(place.srv / "old" / "log"):
        place.run(ends_with=1)
    place.assert_at_work(web=3, store=0)


def has_a_wrong_password(place: Place) -> None:
    (place.srv / "secrets" / "db-new" / "password").write_text("an old one")
    place.run(ends_with=1)
    place.assert_as_before()


def was_released(place: Place) -> None:
    place.assert_at_work(web=3, store=2)
    assert picture(place.srv / "new") != place.before


def was_planned_and_run(place: Place) -> None:
    place.assert_arrived()
    for report in ("vision.html", "again.html"):
        assert "ml/vision" in (place.srv / report).read_text()


def was_forgotten(place: Place) -> None:
    place.assert_arrived()
    assert not place.state.exists()
    place.run()  # a beginning anew: the backup of the first time is not in its way


State = Callable[[Place], None]

#: What comes before the commands of a section, and what has to be so after them.
STATES: dict[str, tuple[State, State]] = {
    "The whole way": (lambda _: None, was_planned_and_run),
    "Undo": (Place.run, Place.assert_as_before),
    "Forget": (Place.run, was_forgotten),
    "Roll back by hand": (has_failed_and_halted, Place.assert_as_before),
    "Release": (has_failed_and_halted, was_released),
    "Retry": (has_a_wrong_password, Place.assert_arrived),
}

#: The same, of sections that are read while a `run` waits for its cut-over; and with what that run ends.
WHILE_IT_WAITS: dict[str, tuple[int, State]] = {
    "Approve": (0, Place.assert_arrived),
    "Cancel": (1, Place.assert_as_before),
}


def test_every_section_with_commands_is_run() -> None:
    assert LOCAL.keys() == STATES.keys() | WHILE_IT_WAITS.keys()


def follow(place: Place, section: str) -> None:
    for command in LOCAL[section]:
        done = place.call(command)
        assert done.returncode == command.exit_code, f"{command}: {done.stdout}{done.stderr}"
        assert_shown(command, done.stdout + done.stderr)


@pytest.mark.parametrize("section", STATES)
def test_the_commands_do_what_the_page_says(place: Place, section: str) -> None:
    before, after = STATES[section]
    before(place)
    follow(place, section)
    after(place)


@pytest.mark.parametrize("section", WHILE_IT_WAITS)
def test_the_commands_speak_to_a_run_that_waits(place: Place, section: str) -> None:
    ends_with, after = WHILE_IT_WAITS[section]
    place.write(cutover={"mode": "Manual"})
    with ExitStack() as stack:
        run = stack.enter_context(place.begin())
        stack.callback(run.terminate)
        place.wait_for("AwaitingCutover")
        follow(place, section)
        said = "".join(run.communicate(timeout=SECONDS))
        assert run.returncode == ends_with, said
    after(place)
