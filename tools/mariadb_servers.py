"""A real MariaDB server for tests, from Debian's package ``mariadb-server``; ended with its caller."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pymysql

from tools.postgres_servers import NoServer, free_port

ADMIN, USER = "admin", "mlflow"
PASSWORD = "pass word:\\with 'odd' units"  # noqa: S105 - characters that a driver trips over
READY_SECONDS = 60.0

#: Speed over safety: this server holds nothing that outlives a test.
SETTINGS = (
    "--innodb-flush-log-at-trx-commit=0",
    "--innodb-buffer-pool-size=128M",
    "--skip-name-resolve",
    "--skip-log-bin",
    "--character-set-server=utf8mb4",
    "--collation-server=utf8mb4_general_ci",
)


@dataclass
class MariaServer:
    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    host = "127.0.0.1"

    @property
    def socket(self) -> Path:
        return self.directory / "socket"

    def root(self) -> Any:
        return pymysql.connect(unix_socket=str(self.socket), user=ADMIN, password=PASSWORD.encode(), autocommit=True)

    def connect(self, database: str) -> Any:
        return pymysql.connect(
            host=self.host, port=self.port, user=USER, password=PASSWORD.encode(), database=database, autocommit=True
        )

    @contextlib.contextmanager
    def database(self, name: str) -> Iterator[str]:
        """A fresh database that :data:`USER` owns."""
        with self.root() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE `{name}`")
            for host in ("%", "localhost"):
                cursor.execute(f"GRANT ALL ON `{name}`.* TO '{USER}'@'{host}'")
        try:
            yield name
        finally:
            with self.root() as connection, connection.cursor() as cursor:
                cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")

    def fill(self, database: str, template: str) -> None:
        """Gives an empty database the tables and rows of another."""
        with self.root() as connection, connection.cursor() as cursor:
            cursor.execute(f"USE `{database}`")
            cursor.execute("SET foreign_key_checks = 0")
            cursor.execute(f"SHOW TABLES FROM `{template}`")
            for (table,) in cursor.fetchall():
                cursor.execute(f"SHOW CREATE TABLE `{template}`.`{table}`")
                cursor.execute(cursor.fetchone()[1])
                cursor.execute(f"INSERT INTO `{table}` SELECT * FROM `{template}`.`{table}`")  # noqa: S608 - names of ours


@contextlib.contextmanager
def running() -> Iterator[MariaServer]:
    if shutil.which("mariadbd") is None or shutil.which("mariadb-install-db") is None:
        raise NoServer(
            "MariaDB is missing: install the package mariadb-server, by `sh tools/packages.sh mariadb-server`"
        )
    directory = Path(tempfile.mkdtemp(prefix="maria-"))
    directory.chmod(0o755)
    try:
        server = MariaServer(directory, free_port())
        _start(server)
        try:
            yield server
        finally:
            if server.process is not None:
                server.process.kill()
                server.process.wait(30)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _start(server: MariaServer) -> None:
    directory, user = server.directory, _user()
    if os.geteuid() == 0:
        found = pwd.getpwnam(user)
        os.chown(directory, found.pw_uid, found.pw_gid)
    data = directory / "data"
    install = ("mariadb-install-db", "--no-defaults", f"--datadir={data}", f"--user={user}", "--skip-test-db")
    done = subprocess.run((*_demoted(user), *install), check=False, capture_output=True, cwd=directory, timeout=120)
    if done.returncode:
        raise NoServer(f"MariaDB cannot be set up:\n{(done.stdout + done.stderr).decode(errors='replace')[-2000:]}")
    argv = (
        *("mariadbd", "--no-defaults", f"--datadir={data}", f"--socket={server.socket}", f"--port={server.port}"),
        *("--bind-address=127.0.0.1", f"--pid-file={directory / 'pid'}", f"--init-file={_users(directory)}", *SETTINGS),
    )
    with (directory / "log").open("ab") as log:
        server.process = subprocess.Popen(
            ("setpriv", "--pdeathsig", "KILL", *_identity(user), *argv), stdout=log, stderr=log, cwd=directory
        )
    _wait(server)


def _wait(server: MariaServer) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            server.root().close()
            return
        except pymysql.Error:
            ended = server.process is None or server.process.poll() is not None
            if ended or time.monotonic() > deadline:
                raise NoServer((server.directory / "log").read_text()[-2000:]) from None
            time.sleep(0.1)


def _users(directory: Path) -> Path:
    """Statements that the server runs at its start: nothing secret, a password of tests."""
    escaped = PASSWORD.replace("\\", "\\\\").replace("'", "\\'")
    lines = ["SET NAMES utf8mb4;"]
    lines += [
        f"CREATE USER {name}@'{host}' IDENTIFIED BY '{escaped}';"
        for name in (ADMIN, USER)
        for host in ("%", "localhost")
    ]
    lines += [f"GRANT ALL ON *.* TO {ADMIN}@'{host}' WITH GRANT OPTION;" for host in ("%", "localhost")]
    path = directory / "users.sql"
    path.write_text("\n".join(lines) + "\n")
    return path


def _user() -> str:
    """The server program refuses to run as root."""
    return "mysql" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name


def _demoted(user: str) -> tuple[str, ...]:
    return ("setpriv", *_identity(user)) if os.geteuid() == 0 else ()


def _identity(user: str) -> tuple[str, ...]:
    if os.geteuid() != 0:
        return ()
    found = pwd.getpwnam(user)
    return ("--reuid", str(found.pw_uid), "--regid", str(found.pw_gid), "--clear-groups")
