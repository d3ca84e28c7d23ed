"""Names in addresses that stay unique when projects get other owners."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Project:
    id: int
    slug: str
    owner: int
    """As the source has it."""
    new_owner: int


@dataclass(frozen=True, slots=True)
class Renamed:
    project: Project
    slug: str


def renamed(colliding: Iterable[Project], is_taken: Callable[[int, str], bool]) -> Iterator[Renamed]:
    """New slugs for projects that share an owner-to-be and a slug with another: ``<slug>-cdsw-user-<owner>``.

    A project whose owner stays keeps its slug. ``is_taken``: whether some project of that owner-to-be has a slug now.
    What is given out here is remembered; where a name is in use already a number is put behind it.
    """
    given: set[tuple[int, str]] = set()
    for project in colliding:
        if project.owner == project.new_owner:
            continue
        base = f"{project.slug}-cdsw-user-{project.owner}"
        slug, number = base, 1
        while (project.new_owner, slug) in given or is_taken(project.new_owner, slug):
            number += 1
            slug = f"{base}-{number}"
        given.add((project.new_owner, slug))
        yield Renamed(project, slug)
