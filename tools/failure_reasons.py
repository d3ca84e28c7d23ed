"""docs/failure-reasons.md, from the reasons and remedies in the model."""

from __future__ import annotations

from project_migration.model.errors import REMEDIES, Reason

HEAD = """\
# Failure reasons

Generated from `operator/project_migration/model/errors.py` by `make generate`. The reason stands in the conditions of
the migration, in its step and in its events; the message beside it names the object. `project-migration explain REASON`
says the same in a terminal.

After `migration.mlops.dev/retry` is set to a new value (`project-migration retry NAME`) a failed migration begins its
itinerary again; what was copied is not copied again.

| reason | what to do |
|---|---|
"""


def page() -> str:
    return HEAD + "".join(f"| `{reason}` | {REMEDIES[reason]} |\n" for reason in sorted(Reason, key=str))
