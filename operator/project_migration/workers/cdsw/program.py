"""What the programs of this package share, on top of the harness of all workers."""

from __future__ import annotations

import os
from typing import NoReturn

from project_migration.workers import harness
from project_migration.workers.postgres.program import Work, answering
from project_migration.workers.roots import open_many_files


def main(worker: str, text: str, work: Work) -> NoReturn:
    os.umask(0o077)  # what lies in the workspace meanwhile may hold names of persons
    open_many_files()
    harness.main(f"cdsw.{worker}", text, (), answering(work))
