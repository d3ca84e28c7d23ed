"""The schema as pg_dump writes it, cut into its entries, so that each can be run when and where it is due.

pg_dump orders the entries and knows what each server version needs; pg_restore prints them as one script. With
``--verbose`` it puts ``-- TOC entry <id> (class <oid> OID <oid>)`` above each, and ``--list`` says beforehand which
ids come in which order: a comment in somebody's function that looks the same would also have to carry the next id.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from project_migration.workers import reasons
from project_migration.workers.postgres import failures, tools
from project_migration.workers.postgres.endpoint import Endpoint
from project_migration.workers.postgres.requirements import DROP, KEEP, Choices
from project_migration.workers.postgres.selection import LeftOut
from project_migration.workers.postgres.session import quoted

#: Catalogue oids in an entry's head (``src/include/catalog``): what an entry's oid is the oid of.
PG_CLASS, PG_CONSTRAINT, PG_PUBLICATION_TABLE = 1259, 2606, 6106

_HEAD = re.compile(
    r"^--\n-- TOC entry (\d+) \(class (\d+) OID (\d+)\)\n(?:-- Dependencies: ([\d ]*)\n)?"
    r"-- (?:[A-Z][a-z]+ for )?Name: (.*); Type: ([A-Z ]+); Schema: (.*); Owner: (.*)\n(?:-- Data Pos: .*\n)?--\n",
    re.MULTILINE,
)
_RESTRICTED = re.compile(r"^\\restrict (\w+)$", re.MULTILINE)
_LISTED = re.compile(r"^(\d+); \d+ \d+ ", re.MULTILINE)

SECTIONS = ("pre-data", "data", "post-data")


@dataclass(frozen=True, slots=True)
class Entry:
    number: int
    catalog: int
    oid: int
    needs: tuple[int, ...]
    name: str
    kind: str
    schema: str
    statements: str

    @property
    def title(self) -> str:
        where = f"{self.schema}." if self.schema not in ("-", "") else ""
        return f"{self.kind.lower()} {where}{self.name}"


@dataclass(frozen=True, slots=True)
class Archive:
    #: ``SET`` statements that every session of a restore begins with.
    settings: str
    before: tuple[Entry, ...]
    data: tuple[Entry, ...]
    after: tuple[Entry, ...]


def schema_options(left_out: LeftOut, choices: Choices, major: int) -> tuple[str, ...]:
    """Subscriptions would replicate twice; tablespaces are a matter of each server's disks."""
    return (
        "--no-subscriptions",
        "--no-tablespaces",
        *(("--no-statistics",) if major >= 18 else ()),
        *(("--no-owner",) if choices.owners == DROP else ()),
        *(("--no-privileges",) if choices.privileges == DROP else ()),
        *left_out.dump_options,
    )


def text_options(encoding: str) -> tuple[str, ...]:
    """The archive's text is read here as UTF-8; what is of no encoding is passed on as it is."""
    return () if encoding == "SQL_ASCII" else ("--encoding=UTF8",)


def dump_schema(
    running: tools.Running,
    client: tools.Tools,
    source: Endpoint,
    file: Path,
    snapshot: str,
    options: tuple[str, ...],
) -> None:
    dump(running, client, source, file, snapshot, ("--schema-only", *options), "reading the schema")


def dump(
    running: tools.Running,
    client: tools.Tools,
    source: Endpoint,
    file: Path,
    snapshot: str,
    options: tuple[str, ...],
    what: str,
) -> None:
    words = ("--format=custom", "--compress=0", f"--snapshot={snapshot}", f"--file={file}")
    tools.run(running, source, (client["pg_dump"], *words, *options), what)


def read(
    running: tools.Running,
    client: tools.Tools,
    target: Endpoint,
    file: Path,
    choices: Choices,
    options: tuple[str, ...] = (),
) -> Archive:
    """Raises ``Refused`` when the script cannot be told apart into what the list says."""
    owner = ("--no-owner",) if choices.owners != KEEP else ()
    script = _print(running, client, target, file, ("--verbose", *owner, *options))
    order: list[int] = []
    lengths = []
    for section in SECTIONS:
        listed = _print(running, client, target, file, (f"--section={section}", *options), "--list")
        numbers = [int(number) for number in _LISTED.findall(listed)]
        order += numbers
        lengths.append(len(numbers))
    settings, entries = split(script, order)
    before, data = lengths[0], lengths[0] + lengths[1]
    return Archive(settings, entries[:before], entries[before:data], entries[data:])


def _print(
    running: tools.Running,
    client: tools.Tools,
    target: Endpoint,
    file: Path,
    options: tuple[str, ...],
    how: str = "--file=-",
) -> str:
    return tools.run(running, target, (client["pg_restore"], how, *options, str(file)), "reading the schema's archive")


def split(script: str, order: list[int]) -> tuple[str, tuple[Entry, ...]]:
    """The script's first settings, and its entries, of which those in ``order`` come in that order.

    Some entries are listed and print nothing: those are passed over.
    """
    script = _without_restriction(script)
    positions = {number: index for index, number in enumerate(order)}
    heads: list[re.Match[str]] = []
    last = -1
    for match in _HEAD.finditer(script):
        position = positions.get(int(match[1]), -1)
        if position > last:
            heads.append(match)
            last = position
    if not heads:
        if order:
            raise failures.Refused(reasons.COPY_INCOMPLETE, "pg_restore printed a script of an unknown form")
        return script, ()
    ends = [match.start() for match in heads[1:]] + [len(script)]
    entries = tuple(_entry(match, script[match.end() : end]) for match, end in zip(heads, ends, strict=True))
    by_number = {entry.number: entry for entry in entries}
    silent = Entry(0, 0, 0, (), "", "", "", "")
    return script[: heads[0].start()], tuple(by_number.get(number, silent) for number in order)


def _entry(match: re.Match[str], statements: str) -> Entry:
    number, catalog, oid, needs, name, kind, schema, _ = match.groups()
    return Entry(
        int(number), int(catalog), int(oid), tuple(map(int, (needs or "").split())), name, kind, schema, statements
    )


def _without_restriction(script: str) -> str:
    """psql's \\restrict and its counterpart are no SQL; the key is random, so nothing else has these lines."""
    match = _RESTRICTED.search(script[:2000])
    if not match:
        return script
    return script.replace(f"\\restrict {match[1]}\n", "", 1).replace(f"\\unrestrict {match[1]}\n", "", 1)


def fitted(
    entries: tuple[Entry, ...], schemas: Collection[str], extensions: Collection[str], roles: Collection[str]
) -> Iterator[Entry]:
    """Without what the target has already (``schemas``, ``extensions``) and without the ``roles`` that it lacks."""
    there = {e.number for e in entries if e.kind == "EXTENSION" and e.name in extensions}
    missing = tuple(quoted(role).strip('"') for role in roles)
    for entry in entries:
        if entry.kind == "EXTENSION" and entry.name in extensions:
            continue
        if entry.kind == "COMMENT" and there.intersection(entry.needs):
            continue
        is_there = entry.kind == "SCHEMA" and entry.name in schemas
        kept = _without_lines(entry, ("CREATE SCHEMA ",)) if is_there else entry
        yield _without_roles(kept, missing) if missing else kept


def _without_lines(entry: Entry, beginnings: tuple[str, ...]) -> Entry:
    kept = [line for line in entry.statements.splitlines(keepends=True) if not line.startswith(beginnings)]
    return replace(entry, statements="".join(kept))


def _without_roles(entry: Entry, missing: tuple[str, ...]) -> Entry:
    """Drops the one-line statements that name a role that is not there; they are printed after the object's own."""
    names = "|".join(re.escape(name) for name in missing)
    role = rf'(?:"(?:{names})"|(?:{names}))'
    ends = re.compile(
        rf"^(?:ALTER .* OWNER TO {role}"
        rf"|(?:GRANT|REVOKE) .* (?:TO|FROM) {role}(?: WITH GRANT OPTION| GRANTED BY .*)?"
        rf"|(?:SET SESSION AUTHORIZATION {role})"
        rf"|ALTER DEFAULT PRIVILEGES FOR ROLE {role} .*"
        rf"|ALTER DEFAULT PRIVILEGES .* (?:TO|FROM) {role}(?: WITH GRANT OPTION)?);\n",
        re.MULTILINE,
    )
    return replace(entry, statements=ends.sub("", entry.statements))
