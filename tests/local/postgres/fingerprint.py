"""A database as one text: what pg_dump says of it, with its rows, and nothing that differs between two runs."""

from __future__ import annotations

import os
import re
import subprocess

from tools.postgres_servers import PASSWORD, Server, programs

_NOISE = re.compile(r"^(--.*|\\(un)?restrict .*|)$")


def of_database(server: Server, database: str) -> str:
    environment = {
        **os.environ,
        "PGHOST": server.host,
        "PGPORT": str(server.port),
        "PGUSER": "postgres",
        "PGPASSWORD": PASSWORD,
        "PGDATABASE": database,
    }
    argv = (str(programs(server.major) / "pg_dump"), "--create")
    text = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True, timeout=60).stdout
    return "\n".join(line for line in text.splitlines() if not _NOISE.match(line))
