"""A helper's program that does as its request's params say: enough to see how the backend treats one."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from project_migration.model.records import Outcome, Progress, Record, Request


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--request", type=Path, required=True)
    parser.add_argument("--termination-log", type=Path, required=True)
    arguments = parser.parse_args()
    request = Request.from_json(arguments.request.read_text())
    print(Progress(3, 10, 1, 2).to_json(), flush=True)
    print(f"roots {dict(request.roots)} as {os.getuid()}:{os.getgid()}", file=sys.stderr, flush=True)
    if request.params.get("deaf"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if request.params.get("leaves_child"):
        subprocess.Popen(["sleep", "600"])
        return 0
    Path(request.roots["workspace"], "mine").write_text("written by the helper")
    time.sleep(request.params.get("sleep", 0))
    if "exit" in request.params:
        print("Traceback: something broke", file=sys.stderr)
        return int(request.params["exit"])
    record = Record(request.digest, Outcome.SUCCEEDED, counts={"entries": 2})
    arguments.termination_log.write_text(record.to_json(4096))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
