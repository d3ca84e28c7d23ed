"""Volumes on this machine: a directory of everything that makes trees hard is planned, moved, verified.

Everything happens below ``build/demo-volumes``; it is made anew each time, and left there to be looked at.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks import trees

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "build" / "demo-volumes"
PROGRAM = Path(sys.executable).with_name("project-migration")
FILES = 3000

DOCUMENT = """\
apiVersion: migration.mlops.dev/v1alpha1
kind: ProjectMigration
metadata: {{name: demo, namespace: demo}}
spec:
  volumes:
    pairs:
      - name: data
        source: {{path: {source}}}
        target: {{path: {target}}}
        exclude: ["scratch/**"]
  transfer: {{workers: 4, verify: Checksum}}
"""


def main() -> int:
    remove(PLACE)
    source, target, state = PLACE / "old", PLACE / "new", PLACE / "state"
    source.mkdir(parents=True)
    say(f"1. A directory of some {FILES} files, with links, holes, odd names and odd rights: {shown(source)}")
    left_out = trees.make_hard(str(source), files=FILES, seed=1)
    for what in left_out:
        say(f"   left out, since only root may make it: {what}")
    (source / "scratch").mkdir(exist_ok=True)
    (source / "scratch" / "left-out").write_text("this is excluded by the document\n")
    document = PLACE / "migration.yaml"
    document.write_text(DOCUMENT.format(source=source, target=target))
    say(f"2. What would move, by {shown(document)}")
    code = run("plan", str(document))
    if code != 0:
        return code
    say("3. The migration itself")
    code = run("run", str(document), "--state", str(state), "--report", str(PLACE / "report.html"))
    if code != 0:
        return code
    say(f"4. The files are in {shown(target)}, the report in {shown(PLACE / 'report.html')}: open it in a browser.")
    say("   The same command again finds the work done:")
    return run("run", str(document), "--state", str(state))


def run(*words: str) -> int:
    print(
        "   $ project-migration", *(shown(Path(word)) if word.startswith("/") else word for word in words), flush=True
    )
    return subprocess.run((str(PROGRAM), *words), check=False).returncode


def say(line: str) -> None:
    print(line, flush=True)


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def remove(place: Path) -> None:
    """Also what an earlier run made unreadable on purpose."""
    if place.exists():
        subprocess.run(("chmod", "-R", "u+rwX", str(place)), check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(place)


if __name__ == "__main__":
    sys.exit(main())
