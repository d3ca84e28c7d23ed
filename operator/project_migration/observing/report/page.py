"""The HTML report: one file, nothing to fetch, readable on a phone and on paper."""

from __future__ import annotations

import functools
import re
from datetime import datetime
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from project_migration import __version__
from project_migration.engine.world import Migration
from project_migration.model.conditions import GOOD_ENDS, End
from project_migration.model.quantities import human_bytes
from project_migration.observing.report import words
from project_migration.observing.report.account import Account, account
from project_migration.observing.report.document_words import document_digest, document_text
from project_migration.observing.report.proof import OPENING, embedded, proof
from project_migration.observing.report.timeline import timeline

PACKAGE = "project_migration.observing.report"


def render(migration: Migration) -> str:
    """The whole report as one HTML document, from document and status alone."""
    told = account(migration)
    return (
        _environment()
        .get_template("page.html.j2")
        .render(
            told=told,
            end=str(told.end or "AtWork"),
            good=told.end in GOOD_ENDS,
            headline=words.headline(told),
            target_sentence=words.target_sentence(told),
            kept=" ".join(words.backup_sentences(told)),
            tiles=tiles(told),
            timeline=timeline(told),
            document=document_text(migration.document),
            document_digest=document_digest(migration.document),
            version=__version__,
            style=Markup(resources.files(PACKAGE).joinpath("page.css").read_text(encoding="utf-8")),  # noqa: S704 - our own file
            data=Markup(f"{OPENING}{embedded(proof(told))}</script>"),  # noqa: S704 - escaped for where it stands
            words=words,
        )
    )


def tiles(told: Account) -> list[tuple[str, str, str]]:
    """The figures that everybody asks for first: value, label, and a remark."""
    found = [(human_bytes(told.bytes), _moved(told), words.objects(told.items))]
    if told.end is None:
        progress = told.status.progress
        found.append((f"{progress.percent} %", "done", f"{human_bytes(progress.bytes_done)} in this step"))
    if told.seconds is not None:
        copying = sum(pair.seconds or 0.0 for pair in told.pairs)
        copied = sum(pair.bytes_copied for pair in told.pairs)
        rate = f"{human_bytes(copied / copying)}/s while copying" if copying and copied else ""
        found.append((words.whole_seconds(told.seconds), "from start to end", rate))
    if told.downtime is not None:
        count = len(told.status.workloads)
        remark = f"{count} workload" + ("" if count == 1 else "s")
        found.append((words.whole_seconds(told.downtime), "workloads at rest", remark))
    left = [named for pair in told.pairs for named in pair.left_out]
    asked = sum(named.count for named in left if named.asked)
    remark = f"{asked:,} left out as asked" if asked else ""
    found.append((f"{sum(named.count for named in left if not named.asked):,}", "to look at", remark))
    return found


def _moved(told: Account) -> str:
    if told.planned:
        return "would move"
    if told.end is End.SUCCEEDED:
        return "moved"
    return "copied before it ended" if told.end and told.status.first_write_at else "found on the source"


def kind_words(kind: str) -> str:
    """``hardLinks`` → ``hard links``"""
    return re.sub(r"(?<=[a-z])([A-Z])", lambda match: " " + match[1].lower(), kind)


def moment_words(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else ""


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(PACKAGE, "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        bytes=human_bytes, seconds=words.whole_seconds, kind=kind_words, moment=moment_words, number="{:,}".format
    )
    return environment
