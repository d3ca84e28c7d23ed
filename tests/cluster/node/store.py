"""Things that take long to make and are kept, each under the name of what it was made from."""

import fcntl
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster.node.place import cache

KEEP_UNUSED = 14 * 24 * 3600


def once(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder of this kind with this key, made if there is none.

    It appears under its name only when it is whole, so that a run that is killed leaves a draft
    and not a trap; and two runs at once make it once.
    """
    folder = cache() / kind / key
    with lock(f"{kind}-{key}"):
        if not folder.exists():
            draft = folder.with_suffix(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True)
            make(draft)
            draft.rename(folder)
            _forget_old(folder.parent)
        os.utime(folder)
    return folder


def _forget_old(folder: Path) -> None:
    """Versions of long ago; a checkout of another branch may still be using the recent ones."""
    for other in folder.iterdir():
        if other.stat().st_mtime < time.time() - KEEP_UNUSED:
            shutil.rmtree(other, ignore_errors=True)


@contextmanager
def lock(name: str) -> Iterator[None]:
    """One run at a time; the kernel lets go of it for a run that is killed."""
    path = cache() / "locks" / name.replace("/", "-")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def digest(inputs: Iterable[Path | str]) -> str:
    """A name for the state of some files and texts."""
    total = hashlib.sha256()
    for item in inputs:
        content = item.read_bytes() if isinstance(item, Path) else item.encode()
        total.update(hashlib.sha256(content).digest())
    return total.hexdigest()[:16]
