"""However projects come together under one owner, each has an address of its own, and who stays keeps his."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from project_migration.workers.cdsw.slugs import Project, renamed

SLUG = st.sampled_from(["a", "b", "a-cdsw-user-1", "a-cdsw-user-2", "a-cdsw-user-1-2", "b-cdsw-user-3"])
OWNER = st.integers(1, 4)


@given(st.dictionaries(st.tuples(OWNER, SLUG), st.just(None), max_size=16), st.dictionaries(OWNER, OWNER, max_size=4))
def test_addresses_are_unique_for_each_owner(source: dict[tuple[int, str], None], moves: dict[int, int]) -> None:
    """Each project's owner and slug are unique in the source; ``moves`` says who takes over from whom."""
    moves = {old: new for old, new in moves.items() if moves.get(new, new) == new}
    projects = [Project(number, slug, old, moves.get(old, old)) for number, (old, slug) in enumerate(source)]
    many = Counter((project.new_owner, project.slug) for project in projects)
    taken = {(project.new_owner, project.slug) for project in projects}
    colliding = [project for project in projects if many[project.new_owner, project.slug] > 1]
    new = {one.project.id: one.slug for one in renamed(colliding, lambda owner, slug: (owner, slug) in taken)}
    final = [(project.new_owner, new.get(project.id, project.slug)) for project in projects]
    assert len(set(final)) == len(final)
    for project in projects:
        if project not in colliding or project.owner == project.new_owner:
            assert project.id not in new
