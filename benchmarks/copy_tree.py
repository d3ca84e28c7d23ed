"""``copy_tree`` against ``rsync -a`` and ``chown -R`` in the same run, in turns, on trees made for it.

Both are timed until everything is on the disk (``copy_tree`` syncs by itself, rsync is followed by ``sync -f``), both
give all files one owner, and both begin with an empty page cache where we may drop it (as root).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import trees

OWNER = (8536, 8536) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
MIB = 1 << 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.copy_tree", description=__doc__)
    parser.add_argument("--files", type=int, default=200_000, help="small files (200000)")
    parser.add_argument("--large", type=int, default=8, help="large files of 512 MiB (8)")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, each program once in each (3)")
    parser.add_argument(
        "--place", default=None, help="where the trees are made; a directory of the system's temporary one"
    )
    options = parser.parse_args()
    if shutil.which("rsync") is None:
        print("rsync is missing: apt-get install rsync", file=sys.stderr)
        return 2
    place = Path(tempfile.mkdtemp(prefix="copy-tree-", dir=options.place))
    try:
        small, large = place / "small", place / "large"
        small.mkdir()
        trees.make_small(small, options.files)
        compare(f"{options.files} small files", small, place, options.rounds, fresh=True)
        compare("the same, read before", small, place, options.rounds, fresh=True, cold=False)
        compare("the same, unchanged", small, place, options.rounds, fresh=False)
        disk_limit(place)
        if options.large:
            large.mkdir()
            trees.make_large(large, options.large, 512 * MIB)
            compare(f"{options.large} × 512 MiB", large, place, options.rounds, fresh=True)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return 0


def compare(name: str, source: Path, place: Path, rounds: int, *, fresh: bool, cold: bool = True) -> None:
    """Each round has new targets, which stay until the end: ext4 looks at every inode that was deleted in the last
    minute before it makes a new one (``recently_deleted`` in its source), which would measure the deletion."""
    targets = Path(tempfile.mkdtemp(prefix="targets-", dir=place))
    ours, theirs = targets / "ours", targets / "theirs"
    times: dict[str, list[float]] = {"copy_tree": [], "rsync": []}
    if not fresh:
        copy_tree(source, ours, place)
        rsync(source, theirs)
    for number in range(rounds):
        if fresh:
            ours, theirs = targets / f"ours-{number}", targets / f"theirs-{number}"
        times["copy_tree"].append(timed(lambda to=ours: copy_tree(source, to, place), source, cold=cold))
        times["rsync"].append(timed(lambda to=theirs: rsync(source, to), source, cold=cold))
    one, other = (statistics.median(times[program]) for program in ("copy_tree", "rsync"))
    ratio = statistics.median(b / a for a, b in zip(times["copy_tree"], times["rsync"], strict=True))
    print(f"{name:32} copy_tree {one:7.2f} s   rsync+chown {other:7.2f} s   {ratio:5.2f} times as fast", flush=True)


def timed(work: Callable[[], None], source: Path, *, cold: bool) -> float:
    os.sync()
    if cold:
        with contextlib.suppress(OSError):
            Path("/proc/sys/vm/drop_caches").write_text("3")
    else:
        warm(source)
    began = time.monotonic()
    work()
    return time.monotonic() - began


def warm(source: Path) -> None:
    for directory, _, names in os.walk(source):
        for name in names:
            Path(directory, name).read_bytes()


def copy_tree(source: Path, target: Path, place: Path) -> None:
    workspace = Path(tempfile.mkdtemp(prefix="workspace-", dir=place))
    request = {
        "version": 1,
        "worker": "copy_tree",
        "migration": {"uid": "bench", "name": "bench", "namespace": "bench"},
        "step": "copy",
        "unit": "data",
        "attempt": 1,
        "roots": {"source": str(source), "target": str(target), "workspace": str(workspace)},
        "params": {"ownership": {"mode": "Set", "uid": OWNER[0], "gid": OWNER[1]}, "workers": 4, "release": True},
    }
    argv = (sys.executable, "-m", "project_migration.workers.copy_tree", "--request", "-")
    subprocess.run(argv, input=json.dumps(request), text=True, check=True, capture_output=True)
    shutil.rmtree(workspace)


def rsync(source: Path, target: Path) -> None:
    subprocess.run(("rsync", "-a", f"{source}/", f"{target}/"), check=True)
    subprocess.run(("chown", "-R", f"{OWNER[0]}:{OWNER[1]}", str(target)), check=True)
    subprocess.run(("sync", "-f", str(target)), check=True)


def disk_limit(place: Path) -> None:
    """What the disk takes by itself: one file, written in large pieces and synced."""
    path, size = place / "limit", 1024 * MIB
    piece = os.urandom(8 * MIB)
    began = time.monotonic()
    with path.open("wb") as file:
        for _ in range(size // len(piece)):
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())
    print(f"the disk takes {size / MIB / (time.monotonic() - began):.0f} MiB/s of new data", flush=True)
    path.unlink()


if __name__ == "__main__":
    sys.exit(main())
