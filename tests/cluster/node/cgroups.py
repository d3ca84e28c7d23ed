"""The control groups of a node's pods, which are the one thing that outlives its processes."""

import os
import time
from pathlib import Path

from tests.cluster.node.place import Place

CGROUPS = Path("/sys/fs/cgroup")


def make_cgroups(place: Place) -> None:
    """The group of all pods, which the kubelet expects to be there."""
    for root in _cgroups(place):
        root.mkdir(exist_ok=True)


def remove_cgroups(place: Place) -> None:
    """That group and those of the pods within."""
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
