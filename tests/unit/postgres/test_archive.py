"""The script of pg_restore is cut where its entries begin, and nowhere else."""

from __future__ import annotations

from project_migration.workers.postgres import archive

HEAD = """--
-- TOC entry {number} (class {catalog} OID {oid})
-- Dependencies: {needs}
-- Name: {name}; Type: {kind}; Schema: public; Owner: postgres
-- Data Pos: 0
--

{statements}
"""


def entry(number: int, kind: str, statements: str, name: str = "a", needs: str = "1 2") -> str:
    return HEAD.format(
        number=number, catalog=1259, oid=number + 9, needs=needs, name=name, kind=kind, statements=statements
    )


def script(*entries: str) -> str:
    return "\\restrict abc\nSET x = 1;\n\n" + "\n".join(entries) + "\n\\unrestrict abc\n"


def test_entries_come_apart_with_their_heads() -> None:
    text = script(entry(5, "TABLE", "CREATE TABLE a ();"), entry(3, "INDEX", "CREATE INDEX;"))
    settings, found = archive.split(text, [5, 3])
    assert settings.strip() == "SET x = 1;"
    assert [(e.number, e.kind, e.oid, e.needs) for e in found] == [(5, "TABLE", 14, (1, 2)), (3, "INDEX", 12, (1, 2))]
    assert found[0].statements.strip() == "CREATE TABLE a ();"
    assert "restrict" not in found[1].statements


def test_a_head_inside_of_a_function_is_text() -> None:
    forged = entry(4, "TABLE", "x")
    body = f"CREATE FUNCTION f() AS '\n{forged}';"
    text = script(entry(7, "FUNCTION", body), entry(5, "INDEX", "CREATE INDEX;"))
    _, found = archive.split(text, [7, 5])
    assert [e.number for e in found] == [7, 5]
    assert forged.strip() in found[0].statements


def test_an_entry_that_prints_nothing_keeps_its_place() -> None:
    _, found = archive.split(script(entry(7, "TABLE", "x"), entry(9, "INDEX", "y")), [7, 8, 9])
    assert [e.number for e in found] == [7, 0, 9]
    assert found[1].statements == ""


def test_what_the_target_has_is_not_made_again() -> None:
    text = script(
        entry(1, "EXTENSION", "CREATE EXTENSION", name="hstore", needs=""),
        entry(2, "COMMENT", "COMMENT ON EXTENSION", needs="1"),
        entry(3, "SCHEMA", "CREATE SCHEMA there;\n\nALTER SCHEMA there OWNER TO a;", name="there", needs=""),
        entry(4, "SCHEMA", "CREATE SCHEMA other;", name="other", needs=""),
    )
    _, found = archive.split(text, [1, 2, 3, 4])
    kept = list(archive.fitted(found, ["there"], ["hstore"], []))
    assert [e.number for e in kept] == [3, 4]
    assert "CREATE SCHEMA" not in kept[0].statements
    assert "ALTER SCHEMA there" in kept[0].statements


def test_statements_for_roles_that_are_not_there_are_left_out() -> None:
    statements = (
        "CREATE TABLE public.t (a text DEFAULT 'OWNER TO gone;');\n\nALTER TABLE public.t OWNER TO gone;\n"
        'GRANT SELECT ON TABLE public.t TO "Odd Role";\nGRANT SELECT ON TABLE public.t TO stays;\n'
        "REVOKE ALL ON TABLE public.t FROM gone;\n"
        "ALTER DEFAULT PRIVILEGES FOR ROLE gone IN SCHEMA public GRANT SELECT ON TABLES TO stays;\n"
    )
    _, found = archive.split(script(entry(1, "TABLE", statements)), [1])
    (kept,) = archive.fitted(found, [], [], ["gone", "Odd Role"])
    lines = [line for line in kept.statements.splitlines() if line and not line.startswith("\\")]
    assert lines == [
        "CREATE TABLE public.t (a text DEFAULT 'OWNER TO gone;');",
        "GRANT SELECT ON TABLE public.t TO stays;",
    ]
