"""Removes an archive that this migration wrote."""

from __future__ import annotations

import json
import os
import shutil

from project_migration.workers.mlflow.api.account import Account
from project_migration.workers.mlflow.archive import layout
from project_migration.workers.mlflow.archive.writer import NOTE

#: Everything that a writer makes at the top.
_MADE = ("experiments", "models", "prompts", "evaluation_datasets", "manifest.json", NOTE)


def clear(root: str, migration: str, account: Account) -> None:
    """The note goes last, so that a removal that was cut short can be taken up."""
    try:
        with open(os.path.join(root, NOTE), encoding="utf-8") as stream:
            ours = json.load(stream).get("migration") == migration
    except (OSError, ValueError):
        return
    if not ours:
        return
    account.count("experiments", sum(1 for _ in layout.experiment_folders(root)))
    for name in _MADE:
        path = os.path.join(root, name)
        with account.one(name):
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            elif os.path.lexists(path):
                os.unlink(path)
