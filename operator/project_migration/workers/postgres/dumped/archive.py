"""What a dump says of itself, and what it holds, table by table, as text.

``pg_restore`` of any version not older than the ``pg_dump`` that wrote it reads it, without a server.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from project_migration.workers import reasons
from project_migration.workers.harness import Job
from project_migration.workers.postgres import archive, failures, tools
from project_migration.workers.postgres.archive import Entry
from project_migration.workers.postgres.endpoint import Endpoint
from project_migration.workers.postgres.requirements import Choices

#: The file that a dump in directory format always has, beside its data.
CONTENTS = "toc.dat"
READING = "reading the dump"

#: Of a dump without COPY, how much is looked at to know that.
HEAD = 1 << 20

_MAJOR = re.compile(r"^;\s+Dumped from database version: (\d+)", re.MULTILINE)
_MADE_BY = re.compile(r"^;\s+Dumped by pg_dump version: (\d+)", re.MULTILINE)
_DATA_LINE = re.compile(r"^(\d+); \d+ \d+ (TABLE DATA|SEQUENCE SET|BLOBS) ")
_ENCODING = re.compile(r"^SET client_encoding = '([^']+)';$", re.MULTILINE)
#: How pg_dump begins a table's rows; a name in quotes may hold anything, a line break too.
COPY = re.compile(rb'^COPY ((?:"[^"]*"|[^"\n])+) FROM stdin;\n', re.MULTILINE)
_QUOTED = r'("(?:[^"]|"")+"|[\w$]+)'
_ROLES = (
    re.compile(rf"^ALTER .* OWNER TO {_QUOTED};$", re.MULTILINE),
    re.compile(rf"^GRANT .* TO {_QUOTED}(?: WITH GRANT OPTION)?;$", re.MULTILINE),
    re.compile(rf"^ALTER DEFAULT PRIVILEGES FOR ROLE {_QUOTED} ", re.MULTILINE),
)


@dataclass(frozen=True, slots=True)
class Dumped:
    place: Path
    #: Of the server that it was made from.
    major: int
    encoding: str
    schema: tuple[Entry, ...]
    #: Lines of ``pg_restore --list``: tables' rows, sequences' positions, large objects.
    tables: tuple[str, ...]
    positions: tuple[str, ...]
    large_objects: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """Of its files, most of them compressed."""
        return sum(entry.stat().st_size for entry in os.scandir(self.place) if entry.is_file())

    @property
    def roles(self) -> tuple[str, ...]:
        """Who owns something, or was granted something."""
        texts = [entry.statements for entry in self.schema]
        found = {_plain(name) for text in texts for role in _ROLES for name in role.findall(text)}
        return tuple(sorted(found - {"PUBLIC"}))

    @property
    def extensions(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self.schema if entry.kind == "EXTENSION")


def place_of(job: Job) -> Path:
    """Raises ``Refused`` for what is no dump in directory format."""
    place = Path(job.root("source"))
    if not place.is_dir():
        raise failures.Refused(reasons.SOURCE_NOT_FOUND, "source: the dump's directory does not exist")
    if not (place / CONTENTS).is_file():
        message = f"source: there is no {CONTENTS}: make the dump with pg_dump --format=directory"
        raise failures.Refused(reasons.SOURCE_UNREADABLE, message)
    return place


def look(job: Job, client: tools.Tools, target: Endpoint, choices: Choices) -> Dumped:
    """``target`` lends the tools their environment only. Raises ``Refused`` for a dump that cannot be read."""
    place, running = place_of(job), tools.Running()
    try:
        listed = tools.run(running, target, (client["pg_restore"], "--list", str(place)), "reading the dump's list")
        schema = archive.read(running, client, target, place, choices, ("--schema-only",))
    except failures.Refused as refused:
        words = refused.message.removeprefix(f"{target.side}: ")
        raise failures.Refused(reasons.SOURCE_UNREADABLE, f"source: {words}") from refused
    version, encoding = _MAJOR.search(listed), _ENCODING.search(schema.settings)
    lines: dict[str, list[str]] = {}
    for line in listed.splitlines():
        if match := _DATA_LINE.match(line):
            lines.setdefault(match[2], []).append(line)
    kinds = (tuple(lines.get(kind, ())) for kind in ("TABLE DATA", "SEQUENCE SET", "BLOBS"))
    return Dumped(
        place,
        int(version[1]) if version else 0,
        encoding[1] if encoding else "",
        (*schema.before, *schema.after),
        *kinds,
    )


@contextmanager
def printed(
    running: tools.Running,
    client: tools.Tools,
    target: Endpoint,
    dumped: Dumped,
    lines: tuple[str, ...],
    *,
    to_its_end: bool = True,
) -> Iterator[Iterator[bytes]]:
    """What ``pg_restore`` prints of these lines of its list, in pieces. Raises ``Refused`` when it ends otherwise."""
    with tempfile.NamedTemporaryFile("w", suffix=".list", encoding="utf-8", errors="surrogateescape") as chosen:
        chosen.writelines(f"{line}\n" for line in lines)
        chosen.flush()
        argv = (client["pg_restore"], "--data-only", f"--use-list={chosen.name}", "--file=-", str(dumped.place))
        with closing(_of_the_source(tools.pieces(running, target, argv, READING), target)) as pieces:
            yield pieces
            for _ in pieces if to_its_end else ():  # what nobody asked for, so that it can end
                pass


def _of_the_source(pieces: Generator[bytes, None, None], lends: Endpoint) -> Generator[bytes, None, None]:
    """The tool has the target's environment, and speaks of the dump all the same."""
    try:
        yield from pieces
    except failures.Refused as refused:
        words = refused.message.removeprefix(f"{lends.side}: {READING}: ")
        raise failures.Refused(reasons.SOURCE_UNREADABLE, f"source: {words}") from refused


def refuse_inserts(client: tools.Tools, target: Endpoint, dumped: Dumped) -> None:
    """Rows as INSERT statements could not be proved. Raises ``Refused``."""
    if not dumped.tables:
        return
    head = b""
    with printed(tools.Running(), client, target, dumped, dumped.tables[:1], to_its_end=False) as pieces:
        for piece in pieces:
            head += piece
            if COPY.search(head):
                return
            if len(head) > HEAD:
                break
    message = "source: the dump holds rows as INSERT statements: make it without --inserts and --column-inserts"
    raise failures.Refused(reasons.SOURCE_UNREADABLE, message)


def _plain(name: str) -> str:
    return name[1:-1].replace('""', '"') if name.startswith('"') else name
