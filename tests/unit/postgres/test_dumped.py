"""How a dump's text is read: wherever it is cut, and in whatever zone its moments are written."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from project_migration.workers.postgres.dumped.verify import read_large_objects, rows_in, told_of

LINES = st.lists(st.text(alphabet="abc\\N\t1é", min_size=1).filter(lambda line: line != "\\."), max_size=20)


def cut(data: bytes, places: list[int]) -> Iterator[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return iter([data[a:b] for a, b in pairwise(edges)])


@given(LINES, st.lists(st.integers(0, 10_000), max_size=30))
def test_rows_are_the_same_wherever_the_text_is_cut(lines: list[str], places: list[int]) -> None:
    body = "".join(f"{line}\n" for line in lines).encode()
    name = '"odd\nname" (a, "FROM stdin")'
    text = f"SET x = 1;\n\nCOPY {name} FROM stdin;\n".encode() + body + b"\\.\n\nSELECT 'COPY';\n"
    found, rows = rows_in(cut(text, places))
    assert found == name
    told = told_of(rows)
    assert (told.rows, told.digest) == (len(lines), told_of([body]).digest)


def test_statements_without_copy_name_no_table() -> None:
    name, rows = rows_in(iter([b"INSERT INTO a VALUES (1);\n"]))
    assert (name, list(rows)) == ("", [])


@given(
    st.datetimes(timezones=st.just(UTC)).filter(lambda moment: 2 < moment.year < 9998),
    st.integers(-14 * 60, 14 * 60),
    st.integers(-14 * 60, 14 * 60),
)
def test_a_moment_is_the_same_in_every_zone(moment: datetime, one: int, other: int) -> None:
    def written(at: datetime, minutes: int) -> bytes:
        local = at.astimezone(timezone(timedelta(minutes=minutes)))
        return f"7\t{local.isoformat(' ', 'seconds')}\n".encode()

    assert told_of([written(moment, one)]).is_like(told_of([written(moment, other)]))
    later = moment + timedelta(seconds=1)
    assert not told_of([written(moment, one)]).is_like(told_of([written(later, other)]))


def test_moments_before_our_era_are_known_in_every_zone() -> None:
    one, other = b"0044-12-31 23:00:00+00 BC\n", b"0043-01-01 04:53:28+05:53:28 BC\n"
    assert told_of([one]).is_like(told_of([other]))
    assert not told_of([one]).is_like(told_of([b"0043-01-01 04:53:29+05:53:28 BC\n"]))


@given(st.lists(st.integers(0, 10_000), max_size=30))
def test_large_objects_are_the_same_wherever_the_text_is_cut(places: list[int]) -> None:
    text = (
        b"BEGIN;\nSELECT pg_catalog.lo_open('17', 131072);\nSELECT pg_catalog.lowrite(0, '\\x6162');\n"
        b"SELECT pg_catalog.lowrite(0, '\\x63');\nSELECT pg_catalog.lo_close(0);\n"
        b"SELECT pg_catalog.lo_open('18', 131072);\nSELECT pg_catalog.lo_close(0);\nCOMMIT;\n"
    )
    found = dict(read_large_objects(cut(text, places)))
    assert found[17].startswith("3 bytes, ba7816bf8f01cfea")
    assert found[18].startswith("0 bytes")
