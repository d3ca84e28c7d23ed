"""Looks up what the document leaves to be found around the target, before anything else is looked at.

What was found is on record from then on: every later step sees it as if the document had said it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from project_migration.engine.names import WorkloadRef
from project_migration.engine.platform import Discovery
from project_migration.engine.step import Context, Outcome, View
from project_migration.engine.steps.preflight import joined, platform_of
from project_migration.engine.world import Questions
from project_migration.model.document import Spec
from project_migration.model.errors import Failure, Reason
from project_migration.model.status import MOST_FOUND_WORKLOADS, FoundStatus, FoundWorkload


@dataclass(frozen=True, slots=True)
class Discover:
    id: str = "discover"
    phase: str = "Preflight"
    weight: int = 1
    writes_target: bool = False
    needs_quiet: bool = False

    def ask(self, view: View) -> Questions:
        sought = platform_of(view).discovery(_as_written(view))
        if sought is None:
            return Questions()
        password = sought.password
        return Questions(
            jobs=frozenset({sought.job}),
            variables=frozenset({password} if password else ()),
            workloads=frozenset((*sought.workloads, *((password.of,) if password else ()))),
            hosts=frozenset({sought.host} - {""}),
        )

    def advance(self, context: Context) -> Outcome:
        sought = platform_of(context).discovery(_as_written(context))
        if sought is None:
            return Outcome.done(context.status, "the document says it all")
        failures = (*_job_faults(context, sought), *_password_faults(context, sought))
        if failures:
            return Outcome.fail(context.status, joined(failures))
        found = _found(context, sought)
        status = context.status.model_copy(update={"found": found})
        return Outcome.done(status, _words(found))


def _as_written(view: View) -> Spec:
    """Not as an earlier round found it: what was a copy of then may have another name now."""
    assert view.migration.document is not None  # noqa: S101 - this step is on the way there only
    return view.migration.document.spec


def _jobs(context: Context, sought: Discovery) -> tuple[str, ...]:
    """The one of that very name, else all that begin so."""
    names = context.world.jobs.get(sought.job, ())
    return (sought.job,) if sought.job in names else names


def _job_faults(context: Context, sought: Discovery) -> Iterator[Failure]:
    names = _jobs(context, sought)
    if not names:
        yield Failure(Reason.JOB_NOT_FOUND, f"there is no Job whose name begins with {sought.job}")
    elif len(names) > 1:
        told = ", ".join(names[:5])
        yield Failure(Reason.JOB_NOT_FOUND, f"several Jobs have a name that begins with {sought.job}: {told}")


def _password_faults(context: Context, sought: Discovery) -> Iterator[Failure]:
    password, world = sought.password, context.world
    if password is None or password in world.secret_keys:
        return
    facts = world.workloads.get(password.of)
    if facts is None or not facts.exists:
        yield Failure(Reason.WORKLOAD_NOT_FOUND, f"{password.of}, the target's database, does not exist")
    else:
        yield Failure(Reason.SECRET_NOT_FOUND, f"{password} comes from no Secret: give credentialsRef of the database")


def _found(context: Context, sought: Discovery) -> FoundStatus:
    key = context.world.secret_keys.get(sought.password) if sought.password else None
    named = (ref for ref in sought.workloads if (facts := context.world.workloads.get(ref)) and facts.exists)
    callers = (
        pod.owner for pod in context.world.callers.get(sought.host, ()) if pod.owner is not None and not pod.ours
    )
    refs = dict.fromkeys(ref for ref in (*named, *callers) if ref not in sought.stays)
    return FoundStatus(
        job=_jobs(context, sought)[0],
        secret=key.secret if key else "",
        secret_key=key.key if key else "",
        workloads=tuple(FoundWorkload(kind=ref.kind, name=ref.name) for ref in sorted(refs))[:MOST_FOUND_WORKLOADS],
    )


def _words(found: FoundStatus) -> str:
    resting = ", ".join(str(WorkloadRef(one.kind, one.name)) for one in found.workloads)
    words = [f"Job {found.job}"] + ([f"Secret {found.secret}"] if found.secret else [])
    return f"found {', '.join(words)}" + (f"; to rest: {resting}" if resting else "")
