"""The dump of a database as a stream of bytes: out of an archive, or from pg_dump as it writes it."""

from __future__ import annotations

from collections.abc import Generator

from project_migration.workers.cdsw import tables, workspace
from project_migration.workers.cdsw.archive import dump_pieces
from project_migration.workers.cdsw.request import Side
from project_migration.workers.harness import Job
from project_migration.workers.pace import Pace
from project_migration.workers.params import Params
from project_migration.workers.postgres import tools
from project_migration.workers.postgres.endpoint import Endpoint
from project_migration.workers.postgres.journal import SCHEMA
from project_migration.workers.postgres.session import opened, quoted


def pieces_of(job: Job, source: Side, target_major: int) -> Generator[bytes, None, None]:
    """Raises ``Refused``. Nothing is whole before the last piece was taken."""
    pace = Pace(Params(job.request.params).effort.bandwidth)
    if source.is_archive:
        return dump_pieces(source.archive, pace)
    return dumped(source.endpoint(job), target_major, pace)


def dumped(endpoint: Endpoint, major: int, pace: Pace, *options: str) -> Generator[bytes, None, None]:
    """What pg_dump of ``major`` says of a database, without the rows of credentials. Raises ``Refused``."""
    argv = (
        tools.find(major)["pg_dump"],
        "--no-tablespaces",
        f"--exclude-schema={SCHEMA}",
        *options,
        *_without(endpoint),
    )
    for piece in tools.pieces(tools.Running(), endpoint, argv, "writing the dump"):
        pace.take(len(piece))
        yield piece


def _without(endpoint: Endpoint) -> tuple[str, ...]:
    """Tables of credentials and the sequences that really are theirs: a pattern that matches nothing is no error."""
    with opened(endpoint) as session:
        there = [name for name in tables.SENSITIVE if workspace.has(session, name)]
        names = [quoted(tables.PUBLIC, name) for name in there]
        names += [quoted(one.schema, one.name) for one in workspace.sequences(session) if one.of.table in there]
    return tuple(f"--exclude-table-data={name}" for name in names)
