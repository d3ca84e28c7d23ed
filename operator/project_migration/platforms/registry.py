"""Which platform a document asks for."""

from __future__ import annotations

from project_migration.engine.platform import Platform
from project_migration.model.document import Document
from project_migration.platforms.cdsw.platform import CdswPlatform
from project_migration.platforms.mlflow.platform import MlflowPlatform
from project_migration.platforms.volumes.platform import VolumesPlatform

PLATFORMS: dict[str, Platform] = {"volumes": VolumesPlatform(), "mlflow": MlflowPlatform(), "cdsw": CdswPlatform()}


def platform_of(document: Document | None) -> Platform | None:
    """None when there is no document, or its platform is not carried by this release; the rules refuse that."""
    return PLATFORMS.get(document.spec.platform) if document is not None else None
