"""The namespaces that a node lives in: its own processes, network and mounts.

One process, the first of its process namespace, holds them. When it is killed the kernel ends
everything else in there, unmounts what was mounted and removes the network: so ``down`` cannot
forget anything, whatever state the components are in, and can never hit a process of others.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.cluster.node.place import HERE, Place
from tests.cluster.node.shell import Argument, NodeError, run, tail, wait_for, words

CGROUPS = Path("/sys/fs/cgroup")


def holder(place: Place) -> int | None:
    """The holder's process number, if it is alive.

    A number alone may by now belong to another process; one with the same start time since the
    same boot does not.
    """
    try:
        record = json.loads((place.run / "holder.json").read_text())
    except (OSError, ValueError):
        return None
    pid = int(record["pid"])
    return pid if identity(pid) == record["identity"] else None


def identity(pid: int) -> str | None:
    """What tells a process from a later one with the same number; none for a dead one."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    # The fields after the name, which may itself hold spaces and brackets.
    state, *fields = stat.rpartition(")")[2].split()
    return None if state in "ZX" else f"{boot}/{fields[18]}"


def enclose(place: Place) -> int:
    """Start the holder and give its process number."""
    log = place.logs / "holder.log"
    with log.open("wb") as output:
        command = words("unshare", "--net", "--mount", "--pid", "--fork", sys.executable, "-I", HERE / "holder.py")
        subprocess.Popen(
            [*command, str(place.run)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for("namespaces for the node", lambda: holder(place) is not None, seconds=10, every=0.02)
    except NodeError as error:
        raise NodeError(f"{error}\n{tail(log.read_text())}") from error
    pid = holder(place)
    if pid is None:
        raise NodeError(f"the node's namespaces are gone at once\n{tail(log.read_text())}")
    return pid


def inside(pid: int, *arguments: Argument) -> list[str]:
    """The command that runs a command inside the node."""
    return words("nsenter", f"--target={pid}", "--net", "--mount", "--pid", "--", *arguments)


def start(place: Place, pid: int, component: str, *arguments: Argument) -> None:
    """Start a component, which becomes a child of the holder, with its log and exit code kept."""
    script = """
        log=$1 pid=$2 exit=$3; shift 3; rm -f "$exit"
        ( "$@" & echo $! >"$pid"; wait $!; echo $? >"$exit" ) >"$log" 2>&1 </dev/null &
    """
    files = (place.logs / f"{component}.log", pid_file(place, component), exit_file(place, component))
    run(*inside(pid, "setsid", "sh", "-c", script, component, *files, *arguments))


def terminate(place: Place, pid: int, component: str) -> None:
    """Ask a component to end, and wait until it has."""
    run(*inside(pid, "kill", pid_file(place, component).read_text().strip()))
    wait_for(f"end of {component}", exit_file(place, component).exists, seconds=20)
    exit_file(place, component).unlink()


def pid_file(place: Place, component: str) -> Path:
    """Holds the component's process number, as counted inside."""
    return place.logs / f"{component}.pid"


def exit_file(place: Place, component: str) -> Path:
    """Holds the component's exit code, once it has ended."""
    return place.logs / f"{component}.exit"


def release(place: Place) -> None:
    """End the node and everything in it, and remove what it left; fine if there is none."""
    pid = holder(place)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
        wait_for("end of the node", lambda: holder(place) is None, seconds=60)
    remove_cgroups(place)
    shutil.rmtree(place.run, ignore_errors=True)
    if place.run.exists():
        shutil.rmtree(place.run)


def make_cgroups(place: Place) -> None:
    """The group of all pods, which the kubelet expects to be there."""
    for root in _cgroups(place):
        root.mkdir(exist_ok=True)


def remove_cgroups(place: Place) -> None:
    """The groups of the pods outlive their processes."""
    for root in _cgroups(place):
        if root.is_dir():
            _remove_cgroup(root)


def _cgroups(place: Place) -> list[Path]:
    """One folder in all, or one for each controller: the second and the first version of control groups."""
    roots = [CGROUPS] if (CGROUPS / "cgroup.controllers").exists() else [*CGROUPS.iterdir()]
    return [root / place.cgroup for root in roots if (root / "cgroup.procs").exists()]


def _remove_cgroup(root: Path) -> None:
    """Deepest first; the kernel may need a moment to let go of a group whose last process died."""
    for folder, _, _ in os.walk(root, topdown=False):
        for _ in range(50):
            try:
                Path(folder).rmdir()
                break
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.1)
