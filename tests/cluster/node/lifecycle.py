"""Bringing a node up, taking it down, and looking at it."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.cluster.node import components, images, packages, program, settings
from tests.cluster.node.certificates import make as make_certificates
from tests.cluster.node.cgroups import make_cgroups
from tests.cluster.node.enclosure import enclose, holder, inside, release, terminate
from tests.cluster.node.network import connect, disconnect
from tests.cluster.node.place import HERE, Place
from tests.cluster.node.shell import run, step
from tests.cluster.node.store import digest, lock, once

# What decides how a node turns out; one that was started from other versions is started anew.
SHAPING = ("certificates.py", "components.py", "flags.py", "holder.py", "network.py", "objects.py", "settings.py")


def up(place: Place) -> None:
    """Make sure that the node runs; what is left of an earlier one that fails is removed first."""
    with lock(f"node-{place.name}"):
        packages.ensure()
        programs = _prepare()
        archives = [images.pause(programs), images.base()]
        shape = digest([*(HERE / name for name in SHAPING), programs.name, *map(str, archives)])
        if _shape(place) == shape and holder(place) is not None and components.healthy(place, programs):
            return
        _remove(place)
        store = _image_store(place, archives)
        with step(f"node {place.name} up"):
            _start(place, programs, store)
        (place.run / "shape").write_text(shape)


def _shape(place: Place) -> str | None:
    note = place.run / "shape"
    return note.read_text() if note.exists() else None


def _prepare() -> Path:
    """Make what takes long the first time: one part waits for the processors, the other for the network."""
    with ThreadPoolExecutor() as pool:
        base = pool.submit(images.base)
        programs = program.ensure()
        base.result()
    return programs


def down(place: Place) -> None:
    """Remove the node, in whatever state it is."""
    with lock(f"node-{place.name}"), step(f"node {place.name} down"):
        _remove(place)


def _remove(place: Place) -> None:
    release(place)
    disconnect(place)


def _start(place: Place, programs: Path, store: Path) -> None:
    pid = _enclose(place)
    make_cgroups(place)
    place.volumes.mkdir()
    _copy_images(store, place.run / "containerd")
    make_certificates(place)
    connect(place, pid)
    components.start_control_plane(place, pid, programs)
    components.start_containerd(place, pid)
    components.start_node(place, pid, programs)


def _enclose(place: Place) -> int:
    place.logs.mkdir(parents=True)
    settings.write(place)
    return enclose(place)


def _image_store(place: Place, archives: list[Path]) -> Path:
    """The engine's own storage with the images in it, unpacked; made once with an engine that does just that."""

    def make(folder: Path) -> None:
        pid = _enclose(place)
        components.start_containerd(place, pid)
        for archive in archives:
            images.load(place, archive)
        terminate(place, pid, "containerd")
        (place.run / "containerd").rename(folder / "containerd")
        release(place)

    return once("image-stores", digest(archive.parent.name for archive in archives), make) / "containerd"


def _copy_images(store: Path, target: Path) -> None:
    """Links and not copies, which takes no time and no room: the engine never changes a file of an image.

    Only its databases it does change, so each node has its own.
    """
    run("cp", "--archive", "--link", store, target)
    for database in store.glob("*/*.db"):
        copy = target / database.relative_to(store)
        copy.unlink()
        shutil.copy2(database, copy)


def status(place: Place) -> list[str]:
    """How the node is, a line a fact."""
    pid = holder(place)
    if pid is None:
        return [f"node {place.name}: down"]
    programs = program.ensure()
    dead = [f"{component}: ended with exit code {code}" for component, code in components.ended(place).items()]
    ready = "ready" if components.healthy(place, programs) else "not ready"
    return [f"node {place.name}: {ready}, {_memory(pid)} MiB in use", *dead, f"logs: {place.logs}"]


def _memory(pid: int) -> int:
    """What all processes of the node have in memory; what several share is divided among them."""
    facts = run(*inside(pid, "sh", "-c", "cat /proc/[0-9]*/smaps_rollup 2>/dev/null"), check=False).stdout
    return sum(int(line.split()[1]) for line in facts.splitlines() if line.startswith("Pss:")) // 1024
