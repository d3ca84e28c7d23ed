"""The images that pods run, made on the spot: there is no registry to take any from."""

import shutil
from pathlib import Path

from tests.cluster.node import archive
from tests.cluster.node.place import Place
from tests.cluster.node.shell import NodeError, run, step
from tests.cluster.node.store import digest, once

PAUSE = "localhost/pause:1"
BASE = "localhost/base:2"

SUITE = "bookworm"
# What the project's own image needs of its base; the tests' workloads use its shell and Python.
INCLUDE = "ca-certificates,postgresql-client,python3,python3-venv"
# Of no use in a container, and a third of the room.
NEEDLESS = (
    "usr/share/doc",
    "usr/share/man",
    "usr/share/locale",
    "usr/share/info",
    "var/cache/apt",
    "var/lib/apt/lists",
)
BASE_VERSION = "1"


def pause(programs: Path) -> Path:
    """The archive of the image that holds the namespaces of each pod."""

    def make(folder: Path) -> None:
        layer = folder / "layer.tar"
        run("tar", "-C", programs, "--numeric-owner", "-cf", layer, "pause")
        archive.write(folder / "pause.tar", name=PAUSE, layer=layer, entrypoint=["/pause"])
        layer.unlink()

    return once("images", f"pause-{programs.name}", make) / "pause.tar"


def base() -> Path:
    """The archive of a small Debian with Python."""

    def make(folder: Path) -> None:
        with step(f"making the image {BASE}", slow="about a minute"):
            root, layer = folder / "root", folder / "layer.tar"
            run("debootstrap", "--variant=minbase", f"--include={INCLUDE}", SUITE, root, timeout=900)
            for needless in NEEDLESS:
                shutil.rmtree(root / needless, ignore_errors=True)
                (root / needless).mkdir(parents=True)
            run("tar", "-C", root, "--numeric-owner", "-cf", layer, ".", timeout=300)
            archive.write(folder / "base.tar", name=BASE, layer=layer, command=["sh"])
            shutil.rmtree(root)
            layer.unlink()

    return once("images", "base-" + digest([SUITE, INCLUDE, *NEEDLESS, BASE_VERSION]), make) / "base.tar"


def load(place: Place, file: Path) -> None:
    """Give an image to the node, whose pods then find it under the name in the archive."""
    if not file.is_file():
        raise NodeError(f"{file}: no such file")
    state = file.stat()
    note = place.run / "loaded" / digest([str(file.resolve()), f"{state.st_mtime_ns} {state.st_size}"])
    if note.exists():
        return
    with step(f"loading {file.name}"):
        run("ctr", "--address", place.containerd_socket, "--namespace=k8s.io", "images", "import", file, timeout=300)
    note.parent.mkdir(exist_ok=True)
    note.touch()
