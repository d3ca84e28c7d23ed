"""Looks at a tracking server's files again, on the target alone: against what their proof wrote down, part by part."""

from __future__ import annotations

import os
from dataclasses import replace

from project_migration.model.records import Record, proved_manifest
from project_migration.workers import manifest
from project_migration.workers.harness import Job, WrongRequest, main
from project_migration.workers.mlflow.artifacts.parts import Moves, digest_of, one_record, parts, unit_of
from project_migration.workers.params import Params
from project_migration.workers.proving import against
from project_migration.workers.reasons import PROOF_MISSING, Refusal

#: The step whose lists are compared with.
PROOF = "verify"

HELP = """\
Reads the files of a tracking server and compares them with what an earlier proof of them wrote down.

roots:  target, workspace
params: as manifest, whose work this is; the digest of params.against is over all parts that have a list
"""


def check(job: Job) -> Record:
    given = Params(job.request.params).proved("against")
    if given is None:
        raise WrongRequest("params.against is missing")
    moves = Moves.read(job.workspace)
    found = [part for _, part in parts(job, moves, _was_proved)]
    digests = [against.digest_of(job.workspace / _list_of(part.request.unit)) for part in found]
    if not moves.renamed:
        digests = [given.digest]  # which is enough to say whether anything differs, though not what
    elif digest_of(digests) != given.digest:
        message = "the lists of what was proved are not in the workspace as the proof left them"
        raise Refusal(PROOF_MISSING, message)
    records = []
    for part, digest in zip(found, digests, strict=True):
        with job.lists.below(_below(job, part)):
            records.append(manifest.prove(_against(part, digest)))
    return one_record(job, records)


def _against(part: Job, digest: str) -> Job:
    request = part.request
    told = {"manifest": _list_of(request.unit), "digest": digest}
    params = {**request.params, "rootsToRead": ["target"], "against": told}
    return replace(part, request=replace(request, params=params))


def _below(job: Job, part: Job) -> str:
    path = os.path.relpath(part.root("target"), job.root("target"))
    return "" if path == "." else f"{path}/"


def _list_of(unit: str) -> str:
    return proved_manifest(PROOF, unit, "target")


def _was_proved(job: Job, old: str, new: str) -> bool:
    return (job.workspace / _list_of(unit_of(job.request.unit, old, new))).exists()


if __name__ == "__main__":
    main("mlflow.artifacts.check", HELP, ("target",), check)
