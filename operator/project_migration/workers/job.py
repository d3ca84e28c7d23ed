"""Worker ``job``: on one machine, a program of the installation's own in the place of a Job of the cluster.

The root ``program`` is the program, which gets no arguments; without it there is nothing to run. What it prints goes to
the helper's log. It is done when it ends with 0, and dies with this helper.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from project_migration.model.records import Record
from project_migration.workers import harness, reasons
from project_migration.workers.harness import Job

#: Of what it printed, so much is told when it fails.
TOLD_BYTES = 1200


def work(job: Job) -> Record:
    name = str(job.request.params.get("job", ""))
    program = job.request.roots.get("program")
    if program is None:
        return job.record(message=f"Job {name} has no program on this machine")
    # the kernel is asked to end it with us: what runs on would write to a target that is being put back
    dying = ("setpriv", "--pdeathsig", "KILL") if shutil.which("setpriv") else ()
    with tempfile.TemporaryFile() as said:
        code = subprocess.run(
            (*dying, program), stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT, check=False
        ).returncode
        said.seek(max(0, said.tell() - TOLD_BYTES))
        tail = said.read().decode(errors="replace").strip()
    harness.log(tail)
    if code:
        message = f"{Path(program).name}, for Job {name}, ended with exit code {code}; its last lines: {tail}"
        return job.record(reason=reasons.JOB_FAILED, message=message)
    return job.record(message=f"{Path(program).name} ran for Job {name}", counts={"succeeded": 1})


if __name__ == "__main__":
    harness.main("job", __doc__ or "", (), work)
