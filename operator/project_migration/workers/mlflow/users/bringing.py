"""What the programs for a tracking database do about its users, where the document names the app's database too."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from project_migration.model.records import Compared
from project_migration.workers import reasons
from project_migration.workers.harness import Job, WrongRequest
from project_migration.workers.mlflow.database import opening
from project_migration.workers.mlflow.database.arrangement import Arrangement
from project_migration.workers.mlflow.database.selection import OnConflict
from project_migration.workers.mlflow.database.sides import Side
from project_migration.workers.mlflow.database.store import Store
from project_migration.workers.mlflow.users.forms import Form, check, form_of
from project_migration.workers.mlflow.users.gathering import Choice, Skipped, choose, gather
from project_migration.workers.mlflow.users.granting import Granter, settle_clashes
from project_migration.workers.mlflow.users.ledger import WIDTHS, Entry, Kind, Ledger, SideName

Sides = tuple[Side, Side]


def are_named(sides: Sides) -> bool:
    """Raises ``WrongRequest`` where only one side names them."""
    named = [side.auth is not None for side in sides]
    if any(named) and not all(named):
        raise WrongRequest("params: users are named on one side only: auth belongs to both or to none")
    return all(named)


@dataclass
class Comparison:
    """What is wanted, as it was found on the target."""

    counts: Mapping[str, int]
    faults: list[str] = field(default_factory=list)
    compared: tuple[Compared, ...] = ()


@dataclass
class Users:
    """Both databases of users, and the ledger that was filled from them."""

    source: Store
    target: Store
    form: Form
    ledger: Ledger
    choice: Choice
    on_conflict: OnConflict
    skipped: Skipped
    fresh: bool = False
    problems: list[reasons.Refusal] = field(default_factory=list)

    def look(self) -> None:
        """Fills the ledger from both sides."""
        choose(self.source, self.form, self.ledger, self.choice, self.skipped)
        gather(self.target, self.form, self.ledger, SideName.THERE)
        self.ledger.forget_lost()
        strangers = next(self.ledger.entries(SideName.THERE, Kind.USERS, "mine.admin = 0"), None)
        self.fresh = self.ledger.fresh(strangers is None)
        self.problems = list(settle_clashes(self.ledger, self.on_conflict, self.skipped))

    @property
    def counts(self) -> dict[str, int]:
        return {
            "users": self.ledger.count(SideName.WANTED, Kind.USERS),
            "roles": self.ledger.count(SideName.WANTED, Kind.ROLES),
            "rights": self.ledger.count(SideName.WANTED, Kind.RIGHTS),
        }

    def bring(self) -> None:
        for problem in self.problems:
            raise problem
        administrators = self.choice.faithful and self.fresh
        update = self.on_conflict is OnConflict.UPDATE
        for right, permission in () if update else self.ledger.differing():
            self.skipped(right.told, f"the target gives {permission}, and keeps it")
        granter = Granter(self.target, self.form, self.ledger)
        granter.bring(self.source, administrators=administrators, update=update, skipped=self.skipped)

    def compare(self) -> Comparison:
        lacking = {kind: sum(1 for _ in self.ledger.lacking(kind)) for kind in Kind}
        faults = [f"{number} {kind} lacking on the target" for kind, number in lacking.items() if number]
        ours = {tuple(key) for key, _ in self.ledger.done(Kind.RIGHTS)}
        wrong = [right.told for right, _ in self.ledger.differing() if right[:5] in ours]
        if wrong:
            faults.append(f"{len(wrong)} right(s) that differ: {', '.join(wrong[:3])}")
        names = [name for (name,), _ in self.ledger.done(Kind.USERS)]
        changed = [name for name in names if self._hash(self.source, name) != self._hash(self.target, name)]
        if changed:
            faults.append(f"{len(changed)} user(s) with another password: {', '.join(changed[:3])}")
        return Comparison(self.counts, faults, tuple(self._compared(kind) for kind in Kind))

    def _hash(self, store: Store, name: str) -> str:
        found = store.rows(f"SELECT password_hash FROM {store.place('users')} WHERE username = ?", name)  # noqa: S608
        return str(found[0][0]) if found else ""

    def _compared(self, kind: Kind) -> Compared:
        """By names, and of rights by whose and on what: how strong they are the target may say."""
        ours = _sum(kind, self.ledger.entries(SideName.WANTED, kind))
        theirs = _sum(kind, self.ledger.shared(kind))
        return Compared(str(kind), ours[0], theirs[0], ours[1], theirs[1])


def _sum(kind: Kind, entries: Iterable[Entry]) -> tuple[int, str]:
    number, found = 0, hashlib.sha256()
    for number, entry in enumerate(entries, 1):  # noqa: B007 - how many there were
        found.update(f"{entry[: WIDTHS[kind]]!r}\n".encode())
    return number, found.hexdigest()[:12]


@contextmanager
def opened(
    job: Job, sides: Sides, arrangement: Arrangement, on_conflict: OnConflict, place: Path, *, write: bool = False
) -> Iterator[Users]:
    """With ``write`` in a transaction that is committed at its end. ``place``: the workspace, or another place, where
    the ledger is for this look only."""
    scratch = job.workspace / "mlflow"
    ours, theirs = sides[0].auth, sides[1].auth
    assert ours is not None  # noqa: S101 - asked for where users are named
    assert theirs is not None  # noqa: S101
    with (
        opening.reading(ours, scratch) as source,
        (opening.writing if write else opening.reading)(theirs, scratch) as target,
    ):
        form = check(source, target)
        ledger = Ledger(place)
        try:
            with _transaction(target) if write else nullcontext():
                users = Users(source, target, form, ledger, Choice(arrangement), on_conflict, _teller(job))
                users.look()
                yield users
        finally:
            ledger.close()


@contextmanager
def _transaction(target: Store) -> Iterator[None]:
    target.begin()
    try:
        yield
        target.commit()
    except BaseException:
        target.rollback()
        raise


def _teller(job: Job) -> Skipped:
    def skipped(name: str, cause: str) -> None:
        job.lists.add("skipped", name, cause)

    return skipped


def take_back(job: Job, side: Side) -> int:
    """All that this migration brought; how many things of it were there."""
    if side.auth is None or not Ledger.exists(job.workspace):
        return 0
    ledger = Ledger(job.workspace)
    try:
        with opening.writing(side.auth, job.workspace / "mlflow") as target:
            form = form_of(target)
            taken = 0
            if form is not None:
                with _transaction(target):
                    taken = Granter(target, form, ledger).take_back()
        ledger.forget()
        return taken
    finally:
        ledger.close()
