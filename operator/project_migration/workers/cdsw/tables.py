"""What is known of the tables of CDSW and CML: the facts of the guide of fxu1024/cdsw-migration (2021).

Real installations have more tables, and not always all of these: every use asks the catalogue first.
"""

from __future__ import annotations

#: The schema of the application, and the one of its feature flags.
PUBLIC, FEATURE_FLAGS = "public", "feature_flags"

USERS, PROJECTS, JOBS, APPLICATIONS = "users", "projects", "jobs", "applications"
ENGINE_IMAGES, SITE_CONFIG, INVITATIONS = "engine_images", "site_config", "invitations"
PROJECTS_ENGINE_IMAGES = "projects_engine_images"

#: Without these a database is no workspace of either kind.
REQUIRED = (USERS, PROJECTS, ENGINE_IMAGES, SITE_CONFIG)

#: Credentials of persons: their rows never leave a CDSW.
SENSITIVE = ("kerberos", "ssh_keys", "access_keys")

#: Columns whose rows belong to somebody, and get another owner with him.
OWNED = (
    (PROJECTS, "user_id"),
    (PROJECTS, "creator_id"),
    (JOBS, "creator_id"),
    ("batch_runs", "user_id"),
    ("models", "creator_id"),
    (APPLICATIONS, "creator_id"),
    ("build_details", "user_id"),
    ("dashboards", "creator_id"),
    ("dashboards", "user_id"),
)

QUOTAS = ("custom_quota", "default_quota")

#: Bound to the installation they come from.
SITE_BOUND = (
    "access_keys",
    "authorized_keys",
    "followers",
    "job_notifications",
    "kerberos",
    "licenses",
    "model_builds",
    "model_deployments",
    "password_resets",
    "projects_users",
    "project_invitations",
    "organization_members",
    "organization_invitations",
    "shared_job_run_acl",
    "shared_session_acl",
    "ssh_keys",
    "stars",
    "user_billing",
    "user_events",
    "waiting",
    "watchers",
)

#: Rows of these arrive one for one, whatever the schema Job does.
KEPT_EXACTLY = (PROJECTS, JOBS, "models", APPLICATIONS, "batch_runs", "dashboards")

#: Columns that hold a user's number by their name, where no foreign key says so.
USER_COLUMNS = (
    "user_id",
    "creator_id",
    "owner_id",
    "author_id",
    "organization_id",
    "member_id",
    "follower_id",
    "created_by",
    "updated_by",
    "modified_by",
    "created_by_id",
    "updated_by_id",
)

TEAM = "organization"
DEFAULT_IMAGE = "Default engine image"
STOPPED = "stopped"

#: Directories in the root of the projects' claim that are the installation's own, or temporary.
SITE_DIRECTORIES = ("scratch", "addons", "cdn", "output")

#: Below the root, the directory of a project is this and its number.
PROJECT_FILES = "projects/0"
