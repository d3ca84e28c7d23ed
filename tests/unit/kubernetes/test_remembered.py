from __future__ import annotations

import pytest

from project_migration.backends.kubernetes.remembered import SECONDS, Remembered


def test_an_answer_is_remembered_for_some_minutes_and_a_failure_never() -> None:
    now = [0.0]
    asked: list[str] = []
    remembered: Remembered[str] = Remembered(clock=lambda: now[0])

    def fetch() -> str:
        asked.append("x")
        if len(asked) == 1:
            raise OSError("no answer")
        return f"answer {len(asked)}"

    with pytest.raises(OSError, match="no answer"):
        remembered.get("key", fetch)
    assert remembered.get("key", fetch) == "answer 2"
    assert remembered.get("key", fetch) == "answer 2"
    assert remembered.get("other", fetch) == "answer 3"
    now[0] = SECONDS
    assert remembered.get("key", fetch) == "answer 4"
