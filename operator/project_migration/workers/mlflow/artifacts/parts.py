"""A server's files in parts: the whole tree, less what gets another name, and the directories that do.

The directory of an experiment is called after its id (``<root>/<experiment id>``: mlflow, server/handlers.py), and an
experiment that is merged into a server in use may get another one. Which, ``mlflow.database.arrange`` decided and
wrote to ``mlflow/moves.json`` in the workspace::

    {"version": 1, "moves": [{"from": "1", "to": "7"}, {"from": "0/a1b2", "to": "5/a1b2"}], "only": ["1", "2"]}

Paths are below the roots, as on the source. One run of an experiment may move alone, and where a server has workspaces
a directory that moves may be ``workspaces/<name>/1``. ``only``: the directories that are wanted; all of them when it is
left out or null.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from project_migration.model.records import Record
from project_migration.workers.harness import Job, Work, WrongRequest

MOVES = Path("mlflow") / "moves.json"
VERSION = 1


@dataclass(frozen=True, slots=True)
class Moves:
    """``renamed``: pairs of paths, from and to. ``only``: paths that are wanted; None for all."""

    renamed: tuple[tuple[str, str], ...] = ()
    only: tuple[str, ...] | None = None

    @classmethod
    def read(cls, workspace: Path) -> Moves:
        """Raises ``WrongRequest`` when nothing was arranged, or what was arranged cannot be read."""
        try:
            data = json.loads((workspace / MOVES).read_text(encoding="utf-8"))
            if data["version"] != VERSION:
                raise WrongRequest(f"{MOVES}: version {data['version']} is not {VERSION}")
            renamed = tuple((_path(move["from"]), _path(move["to"])) for move in data["moves"])
            only = data.get("only")
            return cls(renamed, None if only is None else tuple(_path(name) for name in only))
        except FileNotFoundError as error:
            raise WrongRequest(f"{MOVES} is missing in the workspace: nothing was arranged") from error
        except (ValueError, KeyError, TypeError) as error:
            raise WrongRequest(f"{MOVES} cannot be read: {error}") from error


def _path(value: object) -> str:
    parts = value.split("/") if isinstance(value, str) else [""]
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise WrongRequest(f"{MOVES}: {value!r} is not the path of a directory below the root")
    return "/".join(parts)


Has = Callable[[Job, str, str], bool]
"""Whether there is anything to do for a directory that gets another name."""


def on_source(job: Job, old: str, _new: str) -> bool:
    """An experiment without files has no directory."""
    return os.path.isdir(os.path.join(job.root("source"), old))


def in_parts(job: Job, work: Work, has: Has = on_source) -> Record:
    """Lets ``work``, which takes a source and a target, do every part; one record speaks for all."""
    records = []
    for prefix, part in parts(job, Moves.read(job.workspace), has):
        with job.lists.below(prefix):
            records.append(work(part))
    return one_record(job, records)


def parts(job: Job, moves: Moves, has: Has = on_source) -> Iterator[tuple[str, Job]]:
    """Each with the path below which its names are: the tree itself first."""
    leaving = {name for name, _ in moves.renamed}
    wanted = None if moves.only is None else [name for name in moves.only if not _lies_in(name, leaving)]
    if wanted is None or wanted:
        exclude = [*job.request.params.get("exclude", ()), *(_pattern(name) for name in sorted(leaving))]
        include = [] if wanted is None else [_pattern(name) for name in wanted]
        yield "", _part(job, {**job.request.params, "exclude": exclude, "include": include})
    for (old, new), names in _together(moves.renamed).items():
        within = [_pattern(name) for name in names] or _within(old, moves.only)
        if within is not None and has(job, old, new):
            # the whole tree was looked at: in what this migration makes below it, nothing can be a stranger's
            fresh = {"exclude": [], "requireEmpty": False, "release": True}
            yield f"{old}/", _part(job, {**job.request.params, **fresh, "include": within}, old, new)


def keep_times(job: Job, moves: Moves) -> None:
    """Directories above one that got another name, which got an entry after their time was set, have it again."""
    for old, new in moves.renamed:
        steps = new.split("/")[:-1]
        if steps != old.split("/")[:-1]:
            continue  # they are roots of parts themselves
        for depth in range(len(steps), 0, -1):
            above = "/".join(steps[:depth])
            with suppress(FileNotFoundError):
                kept = os.lstat(os.path.join(job.root("source"), above))
                times = (kept.st_atime_ns, kept.st_mtime_ns)
                os.utime(os.path.join(job.root("target"), above), ns=times, follow_symlinks=False)


def _lies_in(name: str, directories: set[str]) -> bool:
    steps = name.split("/")
    return any("/".join(steps[:depth]) in directories for depth in range(1, len(steps) + 1))


def _within(directory: str, only: tuple[str, ...] | None) -> list[str] | None:
    """Patterns for what is wanted of a directory; none for all of it, None when nothing is."""
    if only is None or _lies_in(directory, set(only)):
        return []
    return [_pattern(name.removeprefix(f"{directory}/")) for name in only if name.startswith(f"{directory}/")] or None


def _together(renamed: Sequence[tuple[str, str]]) -> dict[tuple[str, str], tuple[str, ...]]:
    """What moves by the directories that it moves between: a thousand runs of one experiment are one part.

    Names within the directory; none where the directory itself moves.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for old, new in renamed:
        (above, name), (above_new, name_new) = os.path.split(old), os.path.split(new)
        if above and above_new and name == name_new:
            found.setdefault((above, above_new), []).append(name)
        else:
            found.setdefault((old, new), [])
    return {between: tuple(names) for between, names in found.items()}


def _part(job: Job, params: dict[str, object], old: str = "", new: str = "") -> Job:
    request = job.request
    if not old:
        return replace(job, request=replace(request, params=params))
    below = {"source": old, "target": new}
    # whoever looks at the target alone has no source
    roots = {name: os.path.join(path, below[name]) if name in below else path for name, path in request.roots.items()}
    return replace(job, request=replace(request, params=params, roots=roots, unit=unit_of(request.unit, old, new)))


def unit_of(unit: str, old: str = "", new: str = "") -> str:
    """What a part's files in the workspace are called after."""
    return f"{unit}-{old}-{new}".replace("/", "-") if old else unit


def _pattern(name: str) -> str:
    """A path below the root as a gitignore pattern that matches nothing else."""
    literal = "".join(f"\\{letter}" if letter in "\\*?[]!# " else letter for letter in name)
    return f"/{literal}/"


def one_record(job: Job, records: Sequence[Record]) -> Record:
    """Counts in sum, the first part's reason that failed, and a digest over the parts' digests."""
    counts: Counter[str] = Counter()
    for record in records:
        counts.update(record.counts)
    failed = [record for record in records if not record.succeeded]
    messages = [record.message for record in (failed or records) if record.message]
    return job.record(
        reason=failed[0].reason if failed else "",
        message="; ".join(messages)[:2000],
        passing=bool(failed) and all(record.passing for record in failed),
        counts=dict(counts),
        digest=digest_of([record.digest for record in records]),
        facts=records[0].facts if len(records) == 1 else {},
    )


def digest_of(digests: Sequence[str]) -> str:
    """Of parts together; of one part its own."""
    if len(digests) < 2 or not any(digests):
        return digests[0] if digests else ""
    return "sha256:" + hashlib.sha256("\n".join(digests).encode()).hexdigest()
