"""The first process inside a node's namespaces.

It arranges the mounts, says so, and then only buries the dead: the children of components that
have ended become its own. It is run as a script, so that it keeps nothing in memory but an
interpreter.
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path


def main(run: Path) -> None:
    """Prepare the namespaces and stay."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)
    arrange_mounts(run)
    (run / "enclosed").touch()
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(1)


def arrange_mounts(run: Path) -> None:
    """Let the components write to their usual folders without leaving a trace on the machine.

    What they put below /var/lib and /var/log goes to the run folder, and /run is their own.
    Pods may ask to see mounts made later than themselves, hence the sharing at the end.
    """
    mount("--make-rprivate", "/")
    mount("-t", "proc", "proc", "/proc")
    mount("-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    for folder in ("/var/lib", "/var/log"):
        name = folder.strip("/").replace("/", "-")
        upper, work = run / "overlays" / name, run / "overlays" / f"{name}.work"
        upper.mkdir(parents=True)
        work.mkdir()
        layers = f"lowerdir={folder},upperdir={upper},workdir={work}"
        mount("-t", "overlay", "-o", layers, "overlay", folder)
    # The pods' scratch volumes are to lie on a plain file system, as on a real node.
    bind(run / "kubelet", Path("/var/lib/kubelet"))
    mount("--make-rshared", "/")


def bind(source: Path, target: Path) -> None:
    """Show one folder in place of another."""
    source.mkdir()
    target.mkdir(exist_ok=True)
    mount("--bind", str(source), str(target))


def mount(*arguments: str) -> None:
    """The program, for want of a call in the standard library."""
    subprocess.run(["mount", *arguments], check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
