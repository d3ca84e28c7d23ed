# ruff: noqa: E501 - SQL reads better whole
"""A database with one of everything that is hard to move: what a copy that looks right usually forgets."""

from __future__ import annotations

import psycopg

ROLES = ("app owner", "reader")

#: Extensions that both servers have.
EXTENSIONS = ("hstore", "citext", "btree_gist")

STATEMENTS = r"""
CREATE SCHEMA "Odd schema";
CREATE SCHEMA empty_one;
COMMENT ON SCHEMA "Odd schema" IS 'a schema
-- with a line that looks like a comment';
GRANT USAGE ON SCHEMA "Odd schema" TO reader;
CREATE EXTENSION hstore WITH SCHEMA "Odd schema";
CREATE EXTENSION citext;
CREATE EXTENSION btree_gist;

CREATE TYPE mood AS ENUM ('sad', 'it''s ok', 'happy');
ALTER TYPE mood ADD VALUE 'mixed' BEFORE 'happy';
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN moods AS mood[];
CREATE TYPE pair AS (a integer, b text);
CREATE TYPE nested AS (p pair, m mood);
CREATE TYPE span AS RANGE (subtype = float8, subtype_diff = float8mi);
CREATE COLLATION bytewise (provider = libc, locale = 'C');

CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $f$
BEGIN
--
-- TOC entry 1 (class 1259 OID 1)
-- Name: a; Type: TABLE; Schema: public; Owner: postgres
--
    NEW.note := coalesce(NEW.note, '') || '!';
    RETURN NEW;
END $f$;
CREATE FUNCTION twice(integer) RETURNS integer LANGUAGE sql IMMUTABLE RETURN $1 * 2;
CREATE PROCEDURE nothing() LANGUAGE sql AS 'SELECT 1';
CREATE AGGREGATE product (integer) (SFUNC = int4mul, STYPE = integer, INITCOND = '1');
CREATE OPERATOR === (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq);
CREATE TEXT SEARCH CONFIGURATION plain (COPY = simple);
CREATE CAST (pair AS text) WITH INOUT;

CREATE SEQUENCE free_running START 7 INCREMENT 3 CYCLE MAXVALUE 1000;
SELECT nextval('free_running'), nextval('free_running');
CREATE SEQUENCE never_called;

CREATE TABLE everything (
    id bigint GENERATED ALWAYS AS IDENTITY (START WITH 100 INCREMENT BY 5) PRIMARY KEY,
    serial_too serial,
    note text DEFAULT 'x' || nextval('free_running'),
    doubled integer GENERATED ALWAYS AS (twice(n)) STORED,
    n integer, small smallint, num numeric, money_ money, f4 real, f8 double precision, flag boolean,
    raw bytea, j json, jb jsonb, x xml, u uuid, ip inet, net cidr, mac macaddr, b bit(5), vb bit varying,
    d date, t time, tz timetz, ts timestamp, tstz timestamptz, i interval,
    p point, poly polygon, tsv tsvector, q tsquery, c "char", nm name,
    ints integer[], grid integer[][], texts text[], m mood, ms mood[], dm positive, mm moods,
    pa pair, pas pair[], ne nested, r int4range, mr nummultirange, sp span, sps span[],
    h "Odd schema".hstore, ci citext, nc text COLLATE bytewise, lo oid, cls regclass, rt regtype, rp regprocedure, rr regrole
);
INSERT INTO everything (n, small, num, money_, f4, f8, flag, raw, j, jb, x, u, ip, net, mac, b, vb, d, t, tz, ts, tstz, i,
    p, poly, tsv, q, c, nm, ints, grid, texts, m, ms, dm, mm, pa, pas, ne, r, mr, sp, sps, h, ci, nc, lo, cls, rt, rp, rr)
SELECT g, g, g / 7.0, g::text::money, g / 3.0, g / 7.0, g % 2 = 0, decode(md5(g::text), 'hex'), '{"b": 1, "a":  [1]}',
    '{"b": 1, "a": {"c": null}}', NULL, md5(g::text)::uuid, '10.0.0.1/8', '10.0.0.0/8', '08:00:2b:01:02:03',
    '10101', '1', '2024-02-29', '23:59:60', '12:00:00+05:30', 'infinity', '0044-03-15 BC', '1 year -2 days 3.5 seconds',
    '(1,2)', '((0,0),(1,1),(1,0))', to_tsvector('simple', 'a fat cat'), 'fat & !rat', 'x', 'a name',
    ARRAY[g, NULL, 3], '{{1,2},{3,4}}', ARRAY['a"b', NULL, 'c\d', E'e\nf', '{}', ''], 'it''s ok', ARRAY['sad', NULL]::mood[],
    g, ARRAY['happy']::mood[], ROW(g, 'a,"b')::pair, ARRAY[ROW(1, NULL)::pair], ROW(ROW(1, 'x'), 'sad')::nested,
    '[1,5)', '{[1,2),(3,4]}', '(1.5,2.5]', ARRAY['[0,1]'::span], '"a"=>"1", "b"=>NULL', 'CiText', 'Straße', 4711,
    'everything'::regclass, 'mood'::regtype, 'twice(integer)'::regprocedure, 'reader'::regrole
  FROM generate_series(1, 200) AS g;
INSERT INTO everything (num, f4, f8, note) VALUES ('NaN', 'NaN', 'NaN', E'tab\there\\ backslash\nnewline\rreturn \b'),
    ('Infinity', '-Infinity', '-0', ''), ('-Infinity', 1e-37, 1.7976931348623157e308, NULL), (1e-300, 0.1, 5e-324, '\.');
INSERT INTO everything DEFAULT VALUES;
COMMENT ON COLUMN everything.note IS 'it''s a "note" \ with everything';
COMMENT ON TABLE everything IS NULL;
ALTER TABLE everything ALTER COLUMN note SET STATISTICS 500, ALTER COLUMN raw SET STORAGE EXTERNAL;
CREATE INDEX ON everything USING gin (jb);
CREATE INDEX lower_note ON everything (lower(note) text_pattern_ops) INCLUDE (n) WHERE n IS NOT NULL;
CREATE INDEX ON everything USING brin (ts);
CREATE INDEX "odd index" ON everything (twice(n) DESC NULLS LAST);
CREATE STATISTICS both_of_them (dependencies) ON n, small FROM everything;
CREATE TRIGGER stamped BEFORE UPDATE ON everything FOR EACH ROW WHEN (OLD.n > 5) EXECUTE FUNCTION stamp();
ALTER TABLE everything DISABLE TRIGGER stamped;

CREATE TABLE "Odd schema"."a ""quoted"" table; DROP TABLE x" ("select" integer PRIMARY KEY, "from
newline" text, "ünï" text DEFAULT 'a''b', "a.b" text, ":v" text);
INSERT INTO "Odd schema"."a ""quoted"" table; DROP TABLE x" SELECT g, 'x' || g, NULL, '', ':v' FROM generate_series(1, 50) g;
ALTER TABLE "Odd schema"."a ""quoted"" table; DROP TABLE x" OWNER TO "app owner";
GRANT SELECT, INSERT ("select") ON "Odd schema"."a ""quoted"" table; DROP TABLE x" TO reader WITH GRANT OPTION;

CREATE TABLE tree (id integer PRIMARY KEY, parent integer REFERENCES tree DEFERRABLE INITIALLY DEFERRED);
INSERT INTO tree SELECT g, NULLIF(g - 1, 0) FROM generate_series(100, 1, -1) g;
CREATE TABLE hen (id integer PRIMARY KEY, egg integer);
CREATE TABLE egg (id integer PRIMARY KEY, hen integer REFERENCES hen ON DELETE CASCADE);
BEGIN; INSERT INTO hen VALUES (1, 1); INSERT INTO egg VALUES (1, 1); COMMIT;
ALTER TABLE hen ADD CONSTRAINT circular FOREIGN KEY (egg) REFERENCES egg DEFERRABLE;
INSERT INTO hen VALUES (2, NULL);
ALTER TABLE hen ADD CONSTRAINT not_yet CHECK (egg IS NOT NULL) NOT VALID;

CREATE TABLE booking (room integer, during tsrange, EXCLUDE USING gist (room WITH =, during WITH &&));
INSERT INTO booking SELECT g, tsrange('2024-01-01', '2024-01-02') FROM generate_series(1, 20) g;

CREATE TABLE base (id integer, kind text);
CREATE TABLE derived (extra text) INHERITS (base);
INSERT INTO base SELECT g, 'base' FROM generate_series(1, 30) g;
INSERT INTO derived SELECT g, 'derived', 'e' FROM generate_series(1, 40) g;

CREATE TABLE measured (at date NOT NULL, region text NOT NULL, v double precision, PRIMARY KEY (at, region))
    PARTITION BY RANGE (at);
CREATE TABLE measured_2023 PARTITION OF measured FOR VALUES FROM ('2023-01-01') TO ('2024-01-01') PARTITION BY LIST (region);
CREATE TABLE measured_2023_eu PARTITION OF measured_2023 FOR VALUES IN ('eu');
CREATE TABLE measured_2023_rest PARTITION OF measured_2023 DEFAULT;
CREATE TABLE measured_2024 PARTITION OF measured FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
CREATE INDEX ON measured (v);
INSERT INTO measured SELECT '2023-06-01'::date + g, CASE WHEN g % 2 = 0 THEN 'eu' ELSE 'us' END, g
  FROM generate_series(0, 300) g;
CREATE TABLE refers (at date, region text, FOREIGN KEY (at, region) REFERENCES measured);
INSERT INTO refers VALUES ('2023-06-01', 'eu'), ('2024-02-02', NULL);
CREATE TABLE hashed (id integer PRIMARY KEY) PARTITION BY HASH (id);
CREATE TABLE hashed_0 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE hashed_1 PARTITION OF hashed FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO hashed SELECT generate_series(1, 100);

CREATE UNLOGGED TABLE fleeting (x integer) WITH (fillfactor = 70, autovacuum_enabled = false);
INSERT INTO fleeting SELECT generate_series(1, 10);
CREATE TABLE nothing_in_it ();
INSERT INTO nothing_in_it DEFAULT VALUES;
INSERT INTO nothing_in_it DEFAULT VALUES;
CREATE TABLE only_generated (g integer GENERATED ALWAYS AS (42) STORED);
INSERT INTO only_generated DEFAULT VALUES;
CREATE TABLE dropped_column (a integer, b text, c integer);
INSERT INTO dropped_column VALUES (1, 'x', 2);
ALTER TABLE dropped_column DROP COLUMN b;
INSERT INTO dropped_column VALUES (3, 4);
CREATE TABLE acls (a aclitem, b integer);
INSERT INTO acls VALUES ('reader=r/postgres', 1);

CREATE TABLE toasty (id integer PRIMARY KEY, raw bytea, words text);
ALTER TABLE toasty ALTER COLUMN raw SET STORAGE EXTERNAL;
INSERT INTO toasty SELECT g, (SELECT string_agg(sha256((g || ':' || k)::text::bytea), '') FROM generate_series(1, 4000) k),
    repeat('wörd ' || g || E'\n', 30000) FROM generate_series(1, 60) g;

CREATE VIEW named AS SELECT id, note, doubled FROM everything WHERE n < 50;
CREATE VIEW on_view WITH (security_barrier) AS SELECT v.note FROM named AS v WITH CASCADED CHECK OPTION;
CREATE RULE no_delete AS ON DELETE TO named DO INSTEAD NOTHING;
CREATE MATERIALIZED VIEW heavy AS SELECT region, sum(v) AS total FROM measured GROUP BY region;
CREATE UNIQUE INDEX ON heavy (region);
CREATE MATERIALIZED VIEW on_heavy AS SELECT count(*) FROM heavy;
CREATE MATERIALIZED VIEW not_filled AS SELECT 1 AS one WITH NO DATA;
COMMENT ON MATERIALIZED VIEW heavy IS 'sums';

CREATE TABLE secret_rows (owner_name text, v integer);
INSERT INTO secret_rows SELECT 'reader', generate_series(1, 5);
ALTER TABLE secret_rows ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY own ON secret_rows FOR SELECT TO reader USING (owner_name = current_user);
GRANT SELECT ON secret_rows TO reader;
ALTER DEFAULT PRIVILEGES FOR ROLE "app owner" IN SCHEMA public GRANT SELECT ON TABLES TO reader;
ALTER DEFAULT PRIVILEGES FOR ROLE "app owner" REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no ddl''; END';
CREATE PUBLICATION "some" FOR TABLE tree, hen;
CREATE FOREIGN DATA WRAPPER nowhere;
CREATE SERVER elsewhere FOREIGN DATA WRAPPER nowhere OPTIONS (host 'x');
CREATE FOREIGN TABLE far_away (a integer) SERVER elsewhere;

CREATE EVENT TRIGGER forbid ON ddl_command_start WHEN TAG IN ('CREATE TABLE') EXECUTE FUNCTION on_ddl();

SELECT lo_from_bytea(77001, decode('00ff10', 'hex')), lo_from_bytea(77002, ''), lo_create(77003);
SELECT lo_put(77003, 1500000, decode('aabb', 'hex'));
COMMENT ON LARGE OBJECT 77001 IS 'a "large" one';
GRANT SELECT ON LARGE OBJECT 77001 TO reader;
ALTER LARGE OBJECT 77002 OWNER TO "app owner";
"""

#: Only newer servers take these; they may not be on the way to an older one.
SINCE_18 = """
CREATE TABLE virtual_one (a integer, b integer GENERATED ALWAYS AS (a + 1) VIRTUAL, c integer CONSTRAINT named_not_null NOT NULL);
INSERT INTO virtual_one (a, c) SELECT g, g FROM generate_series(1, 10) g;
ALTER TABLE virtual_one ADD CONSTRAINT later NOT NULL a NOT VALID;
"""


def create_roles(connection: psycopg.Connection) -> None:
    for role in ROLES:
        connection.execute(f'CREATE ROLE "{role}"'.encode())


def fill(connection: psycopg.Connection) -> None:
    """``connection`` is in autocommit mode, its user a superuser, the database fresh."""
    connection.execute("SET client_min_messages = error")
    for statement in _statements(STATEMENTS):
        # from here on the event trigger forbids new tables
        if statement.startswith("CREATE EVENT TRIGGER") and connection.info.server_version >= 180000:
            for newer in _statements(SINCE_18):
                connection.execute(newer.encode())
        connection.execute(statement.encode())


def _statements(text: str) -> list[str]:
    """Cut at semicolons that end a line, outside of dollar quotes and of BEGIN … COMMIT on one line."""
    found: list[str] = []
    current: list[str] = []
    quoted = False
    for line in text.splitlines():
        if not line.strip() and not current:
            continue
        current.append(line)
        quoted ^= line.count("$f$") % 2 == 1
        if line.endswith(";") and not quoted:
            found.append("\n".join(current))
            current = []
    return found
