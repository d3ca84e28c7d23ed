"""What a refusal says: the line of libpq's or a tool's words that helps."""

from __future__ import annotations

import psycopg
import pytest

from project_migration.workers.postgres import failures


def test_a_server_that_does_not_listen_is_named() -> None:
    with pytest.raises(psycopg.OperationalError) as raised:
        psycopg.connect(host="127.0.0.1", port=9, dbname="vision", connect_timeout=5)
    refused = failures.at_connect("source", raised.value)
    assert (refused.reason, refused.passing) == (failures.UNREACHABLE, True)
    assert '"127.0.0.1", port 9' in refused.message
    assert "?" not in refused.message


def test_the_servers_own_words_are_preferred_to_hints_and_what_follows() -> None:
    text = "psql: error: FATAL:  too many connections\nhint: wait\nIs the server running?\nbye\n"
    assert failures.last_line(text) == "psql: error: FATAL:  too many connections"
