"""What a migration did, told afterwards: figures (account), sentences (words), one HTML file (page)."""

from project_migration.observing.report.page import render

__all__ = ["render"]
