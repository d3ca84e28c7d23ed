"""A dump is told apart into statements and rows as the server would, in whatever pieces it comes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project_migration.workers.cdsw.dump import CopyBegins, CopyEnds, Head, Rows, Statement, cells, events
from project_migration.workers.cdsw.failures import Refused

DUMP = rb"""--
-- PostgreSQL database dump
--

\restrict abc

-- Dumped from database version 15.18 (Debian 15.18-0)
-- Dumped by pg_dump version 18.1

SET standard_conforming_strings = on;

CREATE FUNCTION public.say() RETURNS void
    LANGUAGE plpgsql
    AS $_$
BEGIN
    COMMIT; -- ' $
COPY public.users (id) FROM stdin;
\! evil
END;
$_$;

CREATE FUNCTION public.twice(a integer) RETURNS integer
    LANGUAGE sql
    BEGIN ATOMIC
 SELECT CASE WHEN (a IS NULL) THEN 0 ELSE (a * 2) END AS x;
END;

COMMENT ON TABLE public.users IS 'it''s; "so" \';
COMMENT ON TABLE public."odd ""name;" IS E'it\'s; --\\';
SELECT 1 /* ; /* nested; */ ; */ + 2;

--
-- Data for Name: users; Type: TABLE DATA; Schema: public; Owner: x
--

COPY public.users (id, "Full Name") FROM stdin;
1	a\tb
2	\N
\.x
\.

COPY public."odd ""name;" (id) FROM stdin;
\.

SELECT pg_catalog.setval('public.users_id_seq', 7, true);

--
-- PostgreSQL database dump complete
--

\unrestrict abc

"""


def read(*pieces: bytes) -> tuple[Head, list[object]]:
    head, found = Head(), []
    rows = bytearray()
    for event in events(pieces, head):
        match event:
            case Rows(data=data):
                rows += data
            case CopyEnds(rows=count):
                found += [(bytes(rows), count)]
                rows.clear()
            case CopyBegins(table=table, columns=columns):
                found.append((table.title, columns))
            case Statement(text=text):
                found.append(text)
    return head, found


def test_statements_end_where_the_server_ends_them() -> None:
    head, found = read(DUMP)
    assert (head.server_major, head.tool_major, head.restricted, head.complete) == (15, 18, True, True)
    statements = [text for text in found if isinstance(text, bytes)]
    assert [text.split()[0] for text in statements] == [
        b"SET",
        b"CREATE",
        b"CREATE",
        b"COMMENT",
        b"COMMENT",
        b"SELECT",
        b"SELECT",
    ]
    assert statements[1].endswith(b"$_$;")
    assert statements[2].endswith(b"END;")
    assert [item for item in found if isinstance(item, tuple)] == [
        ("public.users", ("id", "Full Name")),
        (b"1\ta\\tb\n2\t\\N\n\\.x\n", 3),
        ('public.odd "name;', ("id",)),
        (b"", 0),
    ]
    assert head.rows == {"public.users": 3, 'public.odd "name;': 0}


@given(st.lists(st.integers(1, len(DUMP) - 1), max_size=30).map(sorted))
def test_it_makes_no_difference_in_which_pieces_a_dump_comes(cuts: list[int]) -> None:
    places = [0, *cuts, len(DUMP)]
    pieces = [DUMP[one:other] for one, other in pairwise(places) if one < other]
    assert read(*pieces) == read(DUMP)


@given(st.integers(0, len(DUMP) - 60))
def test_a_dump_that_was_cut_anywhere_is_told(size: int) -> None:
    with pytest.raises(Refused) as refused:
        read(DUMP[:size])
    assert refused.value.reason == "DumpUnusable"


@pytest.mark.parametrize("line", [b"\\! id", b"\\i /etc/passwd", b"\\copy x from 'y'", b"\\connect other", b"  \\o f"])
def test_commands_of_a_client_are_refused(line: bytes) -> None:
    with pytest.raises(Refused, match="command of psql"):
        read(DUMP.replace(b"SET standard", line + b"\nSET standard"))


def test_rows_that_psql_alone_would_read_are_refused() -> None:
    with pytest.raises(Refused, match="does not write"):
        read(
            DUMP.replace(b'COPY public.users (id, "Full Name") FROM stdin;', b"COPY public.users FROM stdin WITH CSV;")
        )


@given(st.lists(st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\0"))), min_size=1))
def test_values_of_rows_are_read_as_copy_writes_them(values: list[str | None]) -> None:
    escapes = {"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}
    written = ["\\N" if value is None else "".join(escapes.get(c, c) for c in value) for value in values]
    assert cells("\t".join(written).encode() + b"\n") == tuple(values)
