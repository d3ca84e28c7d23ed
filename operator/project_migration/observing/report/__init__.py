"""What a migration did, told afterwards: figures (account), sentences (words), one HTML file (page), and the same for
programs (proof)."""

from project_migration.observing.report.page import render
from project_migration.observing.report.printing import printed

__all__ = ["printed", "render"]
