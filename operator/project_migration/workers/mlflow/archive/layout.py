"""Where things lie in a directory that mlflow-export-import wrote, and which of its forms it is.

The package's form 3 (its newest sources) puts runs below ``runs/``; form 2 (its releases from 1.2.0 on) right below the
experiment; form 1 wrote ``export_info`` instead of ``mlflow``; form 0 (releases to 1.1.2) kept it in ``manifest.json``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

from project_migration.workers.mlflow.api.artifacts import open_below
from project_migration.workers.mlflow.api.failures import ARCHIVE_UNREADABLE, ObjectFailed, Refused
from project_migration.workers.reasons import cause_of

Json = Mapping[str, Any]

#: A file beyond this is not read: it would have to be held whole.
FILE_LIMIT = 512 * 1024 * 1024

EXPERIMENT_FILES = ("experiment.json", "manifest.json")


def load(root: str, path: str) -> Json:
    """A JSON object, in which ``NaN`` and ``Infinity`` may stand. Raises :class:`ObjectFailed`.

    No link is followed: it could lead to what else a helper has mounted.
    """
    folder, name = os.path.split(os.path.normpath(path))
    try:
        directory = open_below(root, [part for part in folder.split("/") if part])
        try:
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=directory)
        finally:
            os.close(directory)
        with open(handle, encoding="utf-8") as stream:
            if os.fstat(handle).st_size > FILE_LIMIT:
                raise ObjectFailed(f"{name} has more than {FILE_LIMIT} bytes")
            found = json.load(stream)
    except OSError as error:
        raise ObjectFailed(f"{name}: {cause_of(error)}") from None
    except (ValueError, RecursionError) as error:
        raise ObjectFailed(f"{name} is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ObjectFailed(f"{name} is no JSON object")
    return found


def body(data: Json) -> Json:
    """What is about MLflow; the older forms have it at the top."""
    found = data.get("mlflow", data)
    return found if isinstance(found, dict) else data


def experiments_folder(root: str) -> str:
    """Below the root, or an empty text where there is none; ``.`` is the root itself."""
    for folder in ("experiments", "."):
        base = os.path.join(root, folder)
        if os.path.isfile(os.path.join(base, "experiments.json")) or next(_experiments(root, folder), None):
            return folder
    return ""


def experiment_folders(root: str) -> Iterator[str]:
    """Paths from the root, in the order of their names."""
    if os.path.isfile(os.path.join(root, "experiment.json")):  # one experiment by itself
        yield "."
        return
    folder = experiments_folder(root)
    if folder:
        for name in _experiments(root, folder):
            yield os.path.normpath(os.path.join(folder, name))


def _experiments(root: str, folder: str) -> Iterator[str]:
    for name in _folders(os.path.join(root, folder)):
        for file in EXPERIMENT_FILES:
            path = os.path.join(folder, name, file)
            if os.path.isfile(os.path.join(root, path)) and (file == "experiment.json" or _of_experiment(root, path)):
                yield name
                break


def _of_experiment(root: str, path: str) -> bool:
    """``manifest.json`` is also the name of files above the experiments and of models."""
    try:
        return "experiment" in body(load(root, path))
    except ObjectFailed:
        return False


def model_folders(root: str) -> Iterator[str]:
    if os.path.isfile(os.path.join(root, "model.json")):
        yield "."
        return
    for folder in ("models", "."):
        base = os.path.join(root, folder)
        names = [name for name in _folders(base) if os.path.isfile(os.path.join(base, name, "model.json"))]
        if names:
            yield from (os.path.normpath(os.path.join(folder, name)) for name in names)
            return


def prompt_folders(root: str) -> Iterator[str]:
    yield from _with(root, "prompts", "prompt.json")


def dataset_folders(root: str) -> Iterator[str]:
    yield from _with(root, "evaluation_datasets", "evaluation_dataset.json")


def _with(root: str, folder: str, file: str) -> Iterator[str]:
    base = os.path.join(root, folder)
    for name in _folders(base):
        if os.path.isfile(os.path.join(base, name, file)):
            yield os.path.join(folder, name)


def run_folder(root: str, experiment: str, run: str) -> str:
    """From the root; raises :class:`ObjectFailed` where the archive has no such folder."""
    if "/" in run or run in ("", ".", ".."):
        raise ObjectFailed("its id is none that a folder could have")
    for folder in (os.path.join(experiment, "runs", run), os.path.join(experiment, run)):
        if os.path.isfile(os.path.join(root, folder, "run.json")):
            return os.path.normpath(folder)
    raise ObjectFailed("the archive lists it, and has no folder for it")


def subfolders(root: str, folder: str, file: str) -> Iterator[str]:
    """Folders right below one that hold a file, from the root."""
    for name in _folders(os.path.join(root, folder)):
        if os.path.isfile(os.path.join(root, folder, name, file)):
            yield os.path.join(folder, name)


def refuse_unless_archive(root: str, side: str) -> None:
    if not os.path.isdir(root):
        raise Refused(ARCHIVE_UNREADABLE, f"{side}: the archive's directory does not exist")
    found = (experiment_folders, model_folders, prompt_folders, dataset_folders)
    listed = os.path.isfile(os.path.join(root, "manifest.json")) or experiments_folder(root)
    if not listed and not any(next(kind(root), None) for kind in found):
        raise Refused(ARCHIVE_UNREADABLE, f"{side}: the directory holds no experiment and no model of an export")


def _folders(base: str) -> list[str]:
    try:
        return sorted(entry.name for entry in os.scandir(base) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return []
