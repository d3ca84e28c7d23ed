"""A CDSW in the cluster: its database on a server of its own, its projects in a claim, and the archive that its guide
has its owner make."""

from __future__ import annotations

import base64
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cluster.kube import Kube
from tests.cluster.servers import Server
from tests.local.cdsw.running import WITHOUT_ROWS, make_projects, pack, text

DATABASE, PROJECTS = "cdsw", "cdsw-projects"
ARCHIVE, CLAIM = "cml-migration.tar.gz", "migration-archive"

#: Rows that never leave a CDSW.
PLANTED = ("AK-SECRET", "SSH-SECRET", "KEYTAB-SECRET")


@dataclass(frozen=True)
class Cdsw:
    """``kube``: where its claims are, and the archive's."""

    kube: Kube
    server: Server

    def make(self, directory: Path) -> None:
        """``directory``: on this machine, where the archive is made."""
        self.server.sql("CREATE ROLE sense SUPERUSER", "postgres")
        self.server.sql(f"CREATE DATABASE {DATABASE} OWNER sense", "postgres")
        for name in ("schema.sql", "source_rows.sql"):
            self.server.sql(f"SET ROLE sense; {text(name).decode()}", DATABASE)
        self.kube.claims(PROJECTS, CLAIM)
        self.kube.apply(*self.server.secrets())
        make_projects(directory)
        (directory / "db.sql").write_text(self.server.dump(DATABASE, *WITHOUT_ROWS))
        archive = pack(directory, directory / ARCHIVE).read_bytes()
        whole = subprocess.run(
            ("tar", "-czC", directory / "projects", "."), capture_output=True, timeout=60, check=True
        )
        self.put(f"cat > /claims/{CLAIM}/{ARCHIVE}", archive, CLAIM)
        self.put(f"tar -xzC /claims/{PROJECTS}", whole.stdout, PROJECTS)

    def put(self, command: str, content: bytes, claim: str) -> None:
        """``content``: some tens of kilobytes at most, as it is part of the pod."""
        self.kube.run(f"put-{claim}", f"base64 -d << over | {command}\n{encoded(content)}\nover", claim)

    def archive(self) -> dict[str, Any]:
        """As a document names it."""
        return {"archive": {"claimName": CLAIM, "subPath": ARCHIVE}}

    def live(self) -> dict[str, Any]:
        return {"database": self.server.endpoint(DATABASE), "projects": {"claimName": PROJECTS}}

    def held(self) -> dict[str, list[str]]:
        """All that its database and its claim hold, in lines."""
        look = f"cd /claims/{PROJECTS}; find . | sort | xargs -d '\\n' stat -c '%N %F %a %u:%g %s %Y'"
        files = self.kube.run("look-cdsw", look, PROJECTS)
        return {"database": self.server.content(DATABASE).splitlines(), "files": files.splitlines()}


def encoded(content: bytes) -> str:
    return base64.encodebytes(content).decode()
