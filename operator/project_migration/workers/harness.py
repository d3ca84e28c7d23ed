"""What every worker does the same way: read a request, tell progress, leave a record.

Exit codes: 0 the record succeeded, 1 it failed, 2 the request is wrong, 143 ended by SIGTERM (no record then).
Progress goes to stdout as JSON lines, everything for people to stderr.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from project_migration.model.records import (
    TERMINATION_MESSAGE_LIMIT,
    Compared,
    Outcome,
    Progress,
    Record,
    Request,
    stem_of,
)
from project_migration.workers.lists import NameLists
from project_migration.workers.printable import escape, shorten
from project_migration.workers.reasons import HELPER_CRASHED, INVALID_DOCUMENT, Refusal, cause_of, reason_of
from project_migration.workers.tree import open_root

SUCCEEDED, FAILED, WRONG_REQUEST, TERMINATED = 0, 1, 2, 128 + signal.SIGTERM

#: Seconds between two lines of progress.
PROGRESS_INTERVAL = 1.0


class Terminated(BaseException):
    """SIGTERM came. No ``Exception``, so that nothing but the harness holds it up."""


class WrongRequest(ValueError):  # noqa: N818 - an outcome, caught by name
    """The request, or one of its params, is not what this worker can do."""


@dataclass(slots=True)
class Job:
    """One run of one worker."""

    request: Request
    lists: NameLists
    started: float = field(default_factory=time.monotonic)
    _told: float = 0.0
    _last: Progress = field(default_factory=Progress)

    def root(self, name: str) -> str:
        """The absolute path of one of the request's directories."""
        return self.request.roots[name]

    @property
    def workspace(self) -> Path:
        return Path(self.request.roots["workspace"])

    @property
    def stem(self) -> str:
        return stem(self.request)

    def tell(self, progress: Progress) -> None:
        """Prints progress, unless a line was printed less than a second ago."""
        self._last = progress
        now = time.monotonic()
        if now - self._told >= PROGRESS_INTERVAL:
            self._told = now
            print_line(progress.to_json())

    def tell_last(self) -> None:
        print_line(self._last.to_json())

    def record(
        self,
        *,
        reason: str = "",
        message: str = "",
        passing: bool = False,
        counts: Mapping[str, int] | None = None,
        digest: str = "",
        facts: Mapping[str, Mapping[str, Any]] | None = None,
        compared: Iterable[Compared] = (),
    ) -> Record:
        """A record that succeeded, or with a ``reason`` one that failed."""
        return Record(
            request_digest=self.request.digest,
            outcome=Outcome.FAILED if reason else Outcome.SUCCEEDED,
            reason=reason,
            message=message,
            passing=passing,
            counts=counts or {},
            digest=digest,
            names=self.lists.names,
            lists=self.lists.paths,
            facts=facts or {},
            seconds=time.monotonic() - self.started,
            compared=tuple(sorted(compared, key=lambda one: one.same)),
        )


Work = Callable[[Job], Record]


def stem(request: Request) -> str:
    """What the files of a request are called in the workspace."""
    return stem_of(request.step, request.unit)


def result_path(request: Request) -> Path:
    return Path(request.roots["workspace"]) / "results" / f"{stem(request)}.json"


def main(worker: str, text: str, roots: tuple[str, ...], work: Work) -> NoReturn:
    """Runs one worker as a program; ``text`` is its help. ``roots`` must be named by the request."""
    arguments = _arguments(worker, text)
    signal.signal(signal.SIGTERM, _terminate)
    sys.unraisablehook = _unraisable
    try:
        code = _run(arguments.request, arguments.termination_log, worker, roots, work)
    except Terminated:
        log("ended by SIGTERM")
        code = TERMINATED
    except WrongRequest as error:
        log(f"wrong request: {error}")
        code = WRONG_REQUEST
    sys.exit(code)


def _arguments(worker: str, text: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"python -m project_migration.workers.{worker}",
        description=text,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--request", metavar="FILE", required=True, help="the request as JSON; - is standard input")
    parser.add_argument("--termination-log", metavar="FILE", help="also write the record there, cut to 4096 bytes")
    return parser.parse_args()


def _terminate(number: int, _frame: object) -> None:
    signal.signal(number, signal.SIG_IGN)  # the clean-up is not cut short by a second one
    raise Terminated


def _unraisable(ignored: sys.UnraisableHookArgs) -> None:
    """Python drops what is raised in a finalizer or around a fork. An end that was asked for is raised again."""
    if not issubclass(ignored.exc_type, Terminated):
        sys.__unraisablehook__(ignored)
        return
    signal.signal(signal.SIGALRM, _terminate)
    signal.setitimer(signal.ITIMER_REAL, 0.01)


def _run(source: str, termination_log: str | None, worker: str, roots: tuple[str, ...], work: Work) -> int:
    request = _read(source, worker, roots)
    record = _kept(request)
    if record is not None:
        log("this request was done already: its record is given again")
        print_line(_finished(record).to_json())
    else:
        record = _keep(request, _work(request, work))
    if termination_log:
        Path(termination_log).write_text(record.to_json(TERMINATION_MESSAGE_LIMIT), encoding="utf-8")
    log(f"{record.outcome}: {record.message}" if record.message else str(record.outcome))
    if record.reason == INVALID_DOCUMENT:
        return WRONG_REQUEST
    return SUCCEEDED if record.succeeded else FAILED


def _read(source: str, worker: str, roots: tuple[str, ...]) -> Request:
    try:
        text = sys.stdin.read() if source == "-" else Path(source).read_text(encoding="utf-8")
        request = Request.from_json(text)
    except (OSError, ValueError) as error:
        raise WrongRequest(f"{source}: {error}") from error
    if request.worker != worker:
        raise WrongRequest(f"it is for the worker {request.worker!r}, this is {worker!r}")
    for root in (*roots, "workspace"):
        if not os.path.isabs(request.roots.get(root, "")):
            raise WrongRequest(f"roots.{root} is not an absolute directory")
    return request


def _kept(request: Request) -> Record | None:
    """The record that this very request left, if it succeeded and what it speaks of is still there."""
    try:
        record = Record.from_json(result_path(request).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    there = all(os.path.isdir(root) for root in request.roots.values())
    return record if there and record.succeeded and record.request_digest == request.digest else None


def _finished(record: Record) -> Progress:
    size, items = record.counts.get("bytes", 0), record.counts.get("entries", 0)
    return Progress(size, size, items, items)


def _work(request: Request, work: Work) -> Record:
    try:
        # a claim for workspaces may be shared: each migration has a directory of its own in it
        os.close(open_root(request.roots["workspace"], make=True))
        lists = NameLists(Path(request.roots["workspace"]), stem(request))
    except OSError as error:
        reason, message, passing = _told(error, request)
        return Record(request.digest, Outcome.FAILED, reason, message, passing)
    job = Job(request, lists)
    record = _attempt(job, work)
    try:
        lists.close()
    except OSError as error:
        record = _failed(job, error)
    job.tell_last()
    return record


def _attempt(job: Job, work: Work) -> Record:
    try:
        return work(job)
    except Refusal as refusal:
        return job.record(
            reason=refusal.reason, message=refusal.message, passing=refusal.passing, counts=refusal.counts
        )
    except WrongRequest as error:
        return job.record(reason=INVALID_DOCUMENT, message=str(error))
    except OSError as error:
        traceback.print_exc()
        return _failed(job, error)
    except Exception as error:
        traceback.print_exc()
        request = job.request
        message = f"{type(error).__name__} in {request.worker} of {request.step}/{request.unit}: {error}"
        return job.record(reason=HELPER_CRASHED, message=shorten(message, 1000))


def _failed(job: Job, error: OSError) -> Record:
    reason, message, passing = _told(error, job.request)
    return job.record(reason=reason, message=message, passing=passing)


def _told(error: OSError, request: Request) -> tuple[str, str, bool]:
    """Reason, message and whether it may pass, for a system error that no one object stands for."""
    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
    where = next((root for root, path in request.roots.items() if name.startswith(path)), "")
    reason, passing = reason_of(error.errno)
    what = escape(name) or request.unit
    return reason, f"{f'{where}: ' if where else ''}{what}: {cause_of(error)}", passing


def _keep(request: Request, record: Record) -> Record:
    """Writes the record to the workspace. One that cannot be kept there is no evidence, so it has failed."""
    path = result_path(request)
    try:
        path.parent.mkdir(exist_ok=True)
        write_durably(path, record.to_json())
    except OSError as error:
        reason, message, passing = _told(error, request)
        log(f"the record cannot be kept: {message}")
        if record.succeeded:
            return replace(record, outcome=Outcome.FAILED, reason=reason, message=message, passing=passing)
    return record


def write_durably(path: Path, text: str) -> None:
    """All or nothing, and on the disk when it returns."""
    half = path.with_name(f".{path.name}.{os.getpid()}")
    with half.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    half.replace(path)
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def print_line(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:  # nobody reads progress: the record is what counts
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def log(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
