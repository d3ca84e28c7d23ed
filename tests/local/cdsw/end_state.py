"""What a workspace's database holds once ``source_rows.sql`` arrived where ``target_rows.sql`` was, all handed over."""

from __future__ import annotations

from typing import Any, Protocol


class Workspace(Protocol):
    def rows(self, statement: str) -> list[tuple[Any, ...]]: ...

    def value(self, statement: str) -> Any: ...


def check_end_state(workspace: Workspace) -> None:
    admin = workspace.value("SELECT id FROM users WHERE username = 'cmladmin'")
    assert workspace.rows("SELECT username, email, admin, password_hash FROM users") == [
        ("cmladmin", "cmladmin@corp", True, "NEW-HASH")
    ]
    assert workspace.rows("SELECT id, slug FROM projects ORDER BY id") == [
        (10, "churn-cdsw-user-2"),
        (11, "churn-cdsw-user-3"),
        (12, "shared"),
        (13, "infra"),
    ]
    for table, column in (("projects", "user_id"), ("projects", "creator_id"), ("jobs", "creator_id")):
        assert workspace.rows(f"SELECT DISTINCT {column} FROM {table}") == [(admin,)]
    image = workspace.value("SELECT id FROM engine_images WHERE tag = '15'")
    assert workspace.value("SELECT count(*) FROM engine_images") == 4
    assert workspace.rows("SELECT DISTINCT engine_image_id FROM projects_engine_images") == [(image,)]
    assert workspace.rows("SELECT default_engine_image_id, allow_anonymous, ldap_url, cml_only FROM site_config") == [
        (image, False, "ldap://new", "kept")
    ]
    assert workspace.value("SELECT count(*) FROM jobs WHERE NOT paused") == 0
    assert workspace.rows("SELECT DISTINCT status FROM applications") == [("stopped",)]
    for table in ("invitations", "custom_quota", "default_quota", "access_keys", "projects_users", "watchers"):
        assert workspace.value(f"SELECT count(*) FROM {table}") == 0
    assert workspace.rows("SELECT label, folded FROM project_labels ORDER BY 1") == [("Blue", "blue"), ("Red", "red")]
    assert workspace.value("SELECT count(*) FROM audit_lines") == 3
    assert workspace.rows("SELECT name FROM feature_flags.flags") == [("cdsw_only",)]
