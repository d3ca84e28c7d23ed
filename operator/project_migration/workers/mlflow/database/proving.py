"""Whether the target holds what it should: rows counted and summed on both sides in words of no server.

A row's digest is over its values in one form (:func:`brought_to`); a table's is the sum of its rows', which does not
depend on their order. Rows that differ are found in a second look, only where sums do.
"""

from __future__ import annotations

import json
import sqlite3
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from project_migration.workers.mlflow.database.arrangement import WRITTEN, Action
from project_migration.workers.mlflow.database.loading import LOOKED_FOR, added_to, written_over
from project_migration.workers.mlflow.database.plan import TablePlan
from project_migration.workers.mlflow.database.proved import MODULUS, Entries, Head
from project_migration.workers.mlflow.database.schema import Form
from project_migration.workers.mlflow.database.store import Chunk, Row, Store, Where, batches

#: Hexadecimal digits of a table's digest that are told.
SHORT = 16
_SINGLE = struct.Struct("<f")

Told = Callable[[int], None]


@dataclass
class Tally:
    """Rows, and the sum of their digests."""

    rows: int = 0
    total: int = 0

    def add(self, chunk: Chunk, convert: Callable[[Row], Row] | None) -> None:
        self.total = (self.total + sum(_numbers(chunk, convert))) % MODULUS
        self.rows += len(chunk)

    @property
    def short(self) -> str:
        """Enough of it to tell two sides apart, in the little room of a record."""
        return f"{self.total:032x}"[:SHORT]

    def __iadd__(self, other: Tally) -> Tally:
        self.rows += other.rows
        self.total = (self.total + other.total) % MODULUS
        return self


def _numbers(chunk: Chunk, convert: Callable[[Row], Row] | None) -> Iterator[int]:
    """The rows' digests."""
    for row in map(convert, chunk) if convert else chunk:
        yield int.from_bytes(_digest(row), "little")


def by_owner(chunk: Chunk, place: int, convert: Callable[[Row], Row]) -> dict[Any, Tally]:
    """A chunk's rows by the object whose id stands at ``place``."""
    owners = [row[place] for row in chunk]
    totals: dict[Any, int] = dict.fromkeys(owners, 0)
    for owner, number in zip(owners, _numbers(chunk, convert), strict=True):
        totals[owner] += number
    rows = Counter(owners)
    return {owner: Tally(rows[owner], total % MODULUS) for owner, total in totals.items()}


@dataclass
class Sides:
    """One table: what should be there, and what is."""

    expected: Tally = field(default_factory=Tally)
    found: Tally = field(default_factory=Tally)


@dataclass
class Proof:
    tables: dict[str, Sides] = field(default_factory=dict)
    missing: int = 0
    different: int = 0
    extra: int = 0

    @property
    def differs(self) -> bool:
        return bool(self.missing or self.different or self.extra)


class Prover:
    """``named`` hears of each row that is not as it should be: ``missing``, ``different`` or ``extra``, and which.
    ``entries`` gets what is on the target, for a later look at it alone."""

    def __init__(
        self,
        source: Store,
        target: Store,
        scratch: Path,
        told: Told,
        named: Callable[[str, str], None],
        entries: Entries,
    ) -> None:
        self._source = source
        self._target = target
        self._scratch = scratch
        self._told = told
        self._named = named
        self._entries = entries
        self.proof = Proof()

    def table(self, plan: TablePlan) -> None:
        sides = self.proof.tables.setdefault(plan.name, Sides())
        forms = forms_of(plan)
        convert = brought_to(plan.columns, forms)
        self._entries.begin(Head(plan.name, "" if plan.row_wise else plan.rule.owner, plan.columns, forms))
        if plan.row_wise:
            self._row_wise(plan, sides, convert)
            return
        for where in plan.slices():
            expected, found = Tally(), Tally()
            for chunk in plan.read(self._source, where):
                expected.add(chunk, convert)
                self._told(len(chunk))
            for chunk in self._there(plan, where):
                found += self._written_down(plan, chunk, convert)
                self._told(len(chunk))
            sides.expected += expected
            sides.found += found
            if expected != found:
                self._locate(plan, where, convert)

    def _written_down(self, plan: TablePlan, chunk: Chunk, convert: Callable[[Row], Row]) -> Tally:
        """The sum of a chunk of the target, and what each object has of it."""
        whole = Tally()
        for owner, part in by_owner(chunk, plan.columns.index(plan.rule.owner), convert).items():
            self._entries.add(plan.name, owner, part.rows, part.total)
            whole += part
        return whole

    def _there(self, plan: TablePlan, where: Where | None) -> Iterator[Chunk]:
        return self._target.stream(plan.target, plan.columns, plan.on_target(where), plan.condition)

    def _row_wise(self, plan: TablePlan, sides: Sides, convert: Callable[[Row], Row]) -> None:
        for where in plan.slices(tuple(Action)):
            for chunk in plan.read_with_action(self._source, where):
                for some in batches(chunk, LOOKED_FOR):
                    self._looked_for(plan, some, sides, convert)
                self._told(2 * len(chunk))

    def _looked_for(
        self, plan: TablePlan, rows: list[tuple[Row, Action]], sides: Sides, convert: Callable[[Row], Row]
    ) -> None:
        """What the target had before and keeps is as it should be, whatever the source has."""
        keys = [plan.key_of(row) for row, _ in rows]
        there = self._target.existing(plan.target, plan.columns, keys)
        for key, (row, action) in zip(keys, rows, strict=True):
            wanted = action in WRITTEN or added_to(plan)
            if key not in there:
                if wanted:
                    sides.expected.add([row], convert)
                    self._tell("missing", plan, key)
                continue
            found = Tally()
            found.add([there[key]], convert)
            sides.found += found
            self._entries.add(plan.name, list(key), 1, found.total)
            if convert(there[key]) == convert(row) or not _has_to_be_equal(plan, action):
                sides.expected += found
                continue
            sides.expected.add([row], convert)
            self._tell("different", plan, key)

    def _tell(self, what: str, plan: TablePlan, key: Iterable[Any]) -> None:
        setattr(self.proof, what, getattr(self.proof, what) + 1)
        self._named(what, f"{plan.name} {', '.join(str(value) for value in key)}")

    def _locate(self, plan: TablePlan, where: Where | None, convert: Callable[[Row], Row]) -> None:
        """On a disk, since a part of a table may be large."""
        path = self._scratch / "differences.db"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        with closing(sqlite3.connect(path, isolation_level=None)) as scratch:
            scratch.executescript(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;"
                "CREATE TABLE expected (k TEXT PRIMARY KEY, h BLOB) WITHOUT ROWID;"
                "CREATE TABLE found (k TEXT PRIMARY KEY, h BLOB) WITHOUT ROWID;"
            )
            sides = (("expected", plan.read(self._source, where)), ("found", self._there(plan, where)))
            for name, chunks in sides:
                for chunk in chunks:
                    rows = ((_key_text(plan, row), _digest(row)) for row in map(convert, chunk))
                    scratch.executemany(f"INSERT OR REPLACE INTO {name} VALUES (?, ?)", rows)  # noqa: S608
            queries = {
                "missing": "SELECT k FROM expected WHERE k NOT IN (SELECT k FROM found)",
                "extra": "SELECT k FROM found WHERE k NOT IN (SELECT k FROM expected)",
                "different": "SELECT k FROM expected JOIN found USING (k) WHERE expected.h <> found.h",
            }
            for what, query in queries.items():
                for (key,) in scratch.execute(query):
                    self._tell(what, plan, json.loads(key))
        path.unlink(missing_ok=True)


def _has_to_be_equal(plan: TablePlan, action: Action) -> bool:
    if written_over(plan, action):
        return True
    # an alias of the target's own stays where it points
    return action is Action.ADD and plan.name != "registered_model_aliases"


def _key_text(plan: TablePlan, row: Row) -> str:
    key = plan.key_of(row) if set(plan.target.key) <= set(plan.columns) and plan.target.key else row
    return json.dumps(key, default=str)


def _digest(row: Row) -> bytes:
    return blake2b(repr(row).encode("utf-8", "surrogatepass"), digest_size=16).digest()


def forms_of(plan: TablePlan) -> dict[str, Form]:
    """Columns whose values servers tell in different ways, and the form to which they are brought."""
    found = {}
    for name in plan.columns:
        ours, theirs = plan.source.column(name), plan.target.column(name)
        forms = {column.form for column in (ours, theirs) if column}
        form = next((form for form in _CONVERTERS if form in forms), None)
        if form is not None:
            found[name] = form
    return found


def brought_to(columns: Sequence[str], forms: Mapping[str, Form]) -> Callable[[Row], Row]:
    """Values in one form: a truth is 0 or 1, a number with a point is one of 64 bits (of 32 where a side has no more),
    zero has no sign, JSON is told by its meaning where a server may have written it anew."""
    converters = [(columns.index(name), _CONVERTERS[form]) for name, form in forms.items()]
    if not converters:
        return tuple

    def convert(row: Row) -> Row:
        values = list(row)
        for place, converter in converters:
            value = values[place]
            if value is not None:
                values[place] = converter(value)
        return tuple(values)

    return convert


def _double(value: Any) -> float:
    return float(value) + 0.0


def _single(value: Any) -> float:
    try:
        found: float = _SINGLE.unpack(_SINGLE.pack(value))[0]
    except OverflowError:
        return float(value)
    return found + 0.0


def _json(value: Any) -> Any:
    try:
        found = json.loads(value) if isinstance(value, str | bytes) else value
    except ValueError:
        return value
    return json.dumps(found, sort_keys=True)


#: The first that either side has decides.
_CONVERTERS: Mapping[Form, Callable[[Any], Any]] = {
    Form.SINGLE: _single,
    Form.FLOAT: _double,
    Form.BOOLEAN: int,
    Form.JSON: _json,
    Form.BINARY: bytes,
}
