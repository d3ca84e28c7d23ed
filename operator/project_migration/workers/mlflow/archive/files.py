"""Files of an archive that is being written: each appears whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from project_migration.workers.mlflow.api.artifacts import open_below

#: What the package calls its newest layout.
FILE_VERSION = "2"


def system(script: str, title: str) -> dict[str, Any]:
    """The head of every file, as far as it says nothing about this machine."""
    now = datetime.now(UTC)
    return {
        "package_version": "project-migration",
        "script": script,
        "export_file_version": FILE_VERSION,
        "export_time": int(now.timestamp()),
        "_export_time": now.strftime("%Y-%m-%d %H:%M:%S"),
        "mlflow_version": "",
        "mlflow_tracking_uri": title,
    }


@contextmanager
def written(root: str, path: str) -> Iterator[TextIO]:
    """A text file below the root; folders on the way are made, and no link is followed."""
    folder, name = os.path.split(path)
    directory = open_below(root, [part for part in folder.split("/") if part], make=True)
    half = f".{name}.{os.getpid()}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(half, flags, 0o644, dir_fd=directory), "w", encoding="utf-8") as stream:
            yield stream
        os.rename(half, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(half, dir_fd=directory)
        raise
    finally:
        os.close(directory)


def write(root: str, path: str, head: Mapping[str, Any], content: Any, info: Mapping[str, Any] | None = None) -> None:
    data = {"system": head, **({"info": info} if info else {}), "mlflow": content}
    with written(root, path) as stream:
        json.dump(data, stream, indent=2)
        stream.write("\n")


def link(root: str, path: str, to: str) -> None:
    """A relative link, for the releases that look for a run one folder higher."""
    place = Path(root, path)
    with contextlib.suppress(FileExistsError):
        place.symlink_to(to)
