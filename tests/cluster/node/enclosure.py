"""The namespaces that a node lives in: its own processes, network and mounts.

One process, the first of its process namespace, holds them. When it is killed the kernel ends
everything else in there, unmounts what was mounted and removes the network: so ``down`` cannot
forget anything, whatever state the components are in, and can never hit a process of others.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.cluster.node.cgroups import remove_cgroups
from tests.cluster.node.place import HERE, Place
from tests.cluster.node.shell import Argument, NodeError, TooLateError, run, tail, wait_for, words

SCRIPT = HERE / "holder.py"


def holder(place: Place) -> int | None:
    """The holder's process number, if it is alive."""
    for pid, program in _processes(place):
        if program != "unshare":
            return pid
    return None


def _processes(place: Place) -> Iterator[tuple[int, str]]:
    """The holder and the program that started it, with their names.

    Found by their command lines, and not by a note of their numbers: a number may by now belong to
    another process, and a run that is killed early takes no notes. Processes inside a container
    of somebody else, whose command lines may look the same, have another root folder.
    """
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            program, *rest = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")[:-1] or [""]
            if rest[-2:] == [str(SCRIPT), str(place.run)] and (folder / "root").samefile("/"):
                yield int(folder.name), program
        except OSError:
            continue  # it has just ended


def enclose(place: Place) -> int:
    """Start the holder and give its process number."""
    log = place.logs / "holder.log"
    with log.open("wb") as output:
        subprocess.Popen(
            words("unshare", "--net", "--mount", "--pid", "--fork", sys.executable, "-I", SCRIPT, place.run),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        wait_for("namespaces for the node", (place.run / "enclosed").exists, seconds=10, every=0.02)
    except TooLateError as error:
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
    for pid, _ in _processes(place):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_for("end of the node", lambda: not list(_processes(place)), seconds=60)
    remove_cgroups(place)
    shutil.rmtree(place.run, ignore_errors=True)
    if place.run.exists():
        shutil.rmtree(place.run)
