"""The operator as a program: ``python -m project_migration``. Its settings are environment variables."""

from __future__ import annotations

import logging
import sys

from project_migration import __version__, handlers
from project_migration.backends.kubernetes import KubernetesBackend
from project_migration.controller import Controller
from project_migration.model.errors import MigrationError
from project_migration.observing import logs
from project_migration.observing.metrics import Metrics
from project_migration.settings import Settings, SettingsError, unknown

log = logging.getLogger("project_migration")

#: As a shell's: the command line, or here the environment, is wrong.
WRONG_USAGE = 2


def main() -> int:
    try:
        settings = Settings.from_environment()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return WRONG_USAGE
    logs.configure(settings.log_level)
    for name in unknown():
        log.warning("%s is no setting of this operator", name)
    metrics = Metrics()
    try:
        controller = Controller(
            settings, lambda ears: KubernetesBackend(settings, on_late=ears.late, on_load=ears.loaded), metrics
        )
    except MigrationError as error:
        log.error("%s", error)
        return 1
    metrics.serve(settings.metrics_port)
    log.info("project-migration operator %s: watching %s", __version__, ", ".join(settings.namespaces) or "everything")
    handlers.watch(controller)
    return 0


if __name__ == "__main__":
    sys.exit(main())
