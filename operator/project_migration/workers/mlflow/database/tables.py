"""What MLflow's tables hold and whose rows they are, in an order in which they can be inserted.

Source of the facts: ``mlflow/store/tracking/dbmodels/models.py``, ``…/model_registry/dbmodels/models.py`` and
``…/workspace/dbmodels/models.py`` of MLflow 3.17; older schemas have fewer of these tables and columns. Each row
belongs to one object, such as a run, which is chosen or not as a whole: :class:`Kind`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """Objects that are chosen, added, or found to be there."""

    WORKSPACE = "workspace"
    EXPERIMENT = "experiment"
    RUN = "run"
    DATASET = "dataset"
    INPUT = "input"
    LOGGED_MODEL = "logged model"
    MODEL = "registered model"
    VERSION = "model version"
    WEBHOOK = "webhook"
    TRACE = "trace"
    EVALUATION_DATASET = "evaluation dataset"
    SCORER = "scorer"
    LABEL_SCHEMA = "label schema"
    REVIEW_QUEUE = "review queue"
    ISSUE = "issue"
    SECRET = "secret"  # noqa: S105 - a kind of object
    ENDPOINT = "gateway endpoint"
    MODEL_DEFINITION = "model definition"
    GUARDRAIL = "guardrail"
    BUDGET = "budget policy"
    MCP_SERVER = "MCP server"
    JOB = "job"
    ASSOCIATION = "association"


#: Kinds whose key has several columns: their tables, which are small, are read whole and each row is asked after.
ASKED = frozenset({Kind.MODEL, Kind.VERSION, Kind.MCP_SERVER})

#: What belongs to a server and to no experiment or model: moved only when everything is.
OF_THE_SERVER = frozenset(
    {
        Kind.WEBHOOK,
        Kind.SECRET,
        Kind.ENDPOINT,
        Kind.MODEL_DEFINITION,
        Kind.GUARDRAIL,
        Kind.BUDGET,
        Kind.MCP_SERVER,
        Kind.JOB,
    }
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A column that names an object which may not come along."""

    column: str
    kind: Kind
    #: Whether the row stays, with NULL there; else it stays behind.
    optional: bool = False


@dataclass(frozen=True, slots=True)
class TableRule:
    name: str
    kind: Kind
    owner: str
    """The column that holds the id of the object that a row belongs to."""
    references: tuple[Reference, ...] = ()
    condition: str = ""
    """Rows that are moved, as SQL that every server understands."""
    condition_columns: tuple[str, ...] = ()


def _of(kind: Kind, owner: str, *names: str) -> tuple[TableRule, ...]:
    return tuple(TableRule(name, kind, owner) for name in names)


#: In order of insertion: parents first.
TABLES: tuple[TableRule, ...] = (
    *_of(Kind.WORKSPACE, "name", "workspaces"),
    *_of(Kind.EXPERIMENT, "experiment_id", "experiments", "experiment_tags"),
    *_of(Kind.RUN, "run_uuid", "runs", "tags", "params", "metrics", "latest_metrics"),
    *_of(Kind.DATASET, "dataset_uuid", "datasets"),
    *_of(Kind.INPUT, "input_uuid", "inputs", "input_tags"),
    *_of(Kind.LOGGED_MODEL, "model_id", "logged_models", "logged_model_params", "logged_model_tags"),
    TableRule("logged_model_metrics", Kind.LOGGED_MODEL, "model_id", (Reference("run_id", Kind.RUN),)),
    *_of(Kind.MODEL, "name", "registered_models", "registered_model_tags"),
    *_of(Kind.VERSION, "name", "registered_model_aliases", "model_versions", "model_version_tags"),
    *_of(Kind.WEBHOOK, "webhook_id", "webhooks", "webhook_events"),
    *_of(Kind.TRACE, "request_id", "trace_info", "trace_tags", "trace_request_metadata", "trace_metrics"),
    *_of(Kind.TRACE, "trace_id", "spans", "span_metrics", "assessments"),
    *_of(
        Kind.EVALUATION_DATASET,
        "dataset_id",
        "evaluation_datasets",
        "evaluation_dataset_tags",
        "evaluation_dataset_records",
    ),
    *_of(Kind.SCORER, "scorer_id", "scorers", "scorer_versions"),
    *_of(Kind.LABEL_SCHEMA, "schema_id", "label_schemas"),
    *_of(Kind.REVIEW_QUEUE, "queue_id", "review_queues", "review_queue_users", "review_queue_items"),
    *_of(Kind.REVIEW_QUEUE, "queue_id", "review_queue_label_schemas"),
    TableRule("issues", Kind.ISSUE, "issue_id", (Reference("source_run_id", Kind.RUN, optional=True),)),
    *_of(Kind.SECRET, "secret_id", "secrets"),
    TableRule("endpoints", Kind.ENDPOINT, "endpoint_id", (Reference("experiment_id", Kind.EXPERIMENT, optional=True),)),
    *_of(Kind.MODEL_DEFINITION, "model_definition_id", "model_definitions"),
    *_of(Kind.ENDPOINT, "endpoint_id", "endpoint_model_mappings", "endpoint_bindings", "endpoint_tags"),
    *_of(Kind.GUARDRAIL, "guardrail_id", "guardrails"),
    *_of(Kind.ENDPOINT, "endpoint_id", "guardrail_configs"),
    *_of(Kind.BUDGET, "budget_policy_id", "budget_policies"),
    *_of(Kind.MCP_SERVER, "name", "mcp_servers", "mcp_server_versions", "mcp_server_tags"),
    *_of(Kind.MCP_SERVER, "name", "mcp_server_version_tags", "mcp_server_aliases"),
    *_of(Kind.MCP_SERVER, "server_name", "mcp_access_endpoints"),
    *_of(Kind.ASSOCIATION, "association_id", "entity_associations"),
    # 2 to 5: succeeded, failed, timed out, cancelled (entities/_job_status.py)
    TableRule("jobs", Kind.JOB, "id", (), "{status} BETWEEN 2 AND 5", ("status",)),
)
RULES = {rule.name: rule for rule in TABLES}

#: Left where they are, with the reason for the report.
LEFT_OUT = {
    "online_scoring_configs": "would make the target score traces, at a price; turn it on there",
    "job_locks": "held by jobs that run on the source",
    "scheduler_leases": "held by the source's scheduler",
    "sql_trace_metric_daily_rollups": "the server makes it anew",
    "sql_span_cost_daily_rollups": "the server makes it anew",
    "sql_assessment_daily_rollups": "the server makes it anew",
    "sql_trace_rollup_rebuild_queue": "the server makes it anew",
}

#: Sums by experiment and day: wrong once traces were added to the experiment; without them the server counts anew.
ROLLUPS = ("sql_trace_metric_daily_rollups", "sql_span_cost_daily_rollups", "sql_assessment_daily_rollups")

#: The basic-auth app has revisions of its own.
USERS_VERSION_TABLE = "alembic_version_auth"

#: Tables of the basic-auth app, which may lie in the same database.
AUTH_TABLES = frozenset(
    {
        "users",
        "roles",
        "role_permissions",
        "user_role_assignments",
        "experiment_permissions",
        "registered_model_permissions",
        "scorer_permissions",
        "gateway_secret_permissions",
        "gateway_endpoint_permissions",
        "gateway_model_definition_permissions",
        "workspace_permissions",
        USERS_VERSION_TABLE,
    }
)

VERSION_TABLE = "alembic_version"
NOTE_TABLE = "project_migration_note"
ARRIVED_TABLE = "project_migration_arrived"

#: Tables whose rows can be long: a few are read at a time.
WIDE = frozenset(
    {
        "spans",
        "experiment_tags",
        "datasets",
        "logged_model_params",
        "logged_model_tags",
        "model_version_tags",
        "assessments",
        "evaluation_datasets",
        "evaluation_dataset_records",
        "scorer_versions",
        "trace_tags",
        "trace_request_metadata",
        "jobs",
    }
)

#: Child and parent, with the columns that join them: what no foreign key holds in a SQLite file.
PARENTS = (
    ("runs", "experiment_id", "experiments", "experiment_id"),
    ("experiment_tags", "experiment_id", "experiments", "experiment_id"),
    ("tags", "run_uuid", "runs", "run_uuid"),
    ("params", "run_uuid", "runs", "run_uuid"),
    ("metrics", "run_uuid", "runs", "run_uuid"),
    ("latest_metrics", "run_uuid", "runs", "run_uuid"),
    ("datasets", "experiment_id", "experiments", "experiment_id"),
    ("input_tags", "input_uuid", "inputs", "input_uuid"),
    ("logged_models", "experiment_id", "experiments", "experiment_id"),
    ("logged_model_params", "model_id", "logged_models", "model_id"),
    ("logged_model_tags", "model_id", "logged_models", "model_id"),
    ("logged_model_metrics", "model_id", "logged_models", "model_id"),
    ("logged_model_metrics", "run_id", "runs", "run_uuid"),
    ("registered_model_tags", "name", "registered_models", "name"),
    ("registered_model_aliases", "name", "registered_models", "name"),
    ("model_versions", "name", "registered_models", "name"),
    ("trace_info", "experiment_id", "experiments", "experiment_id"),
    ("trace_tags", "request_id", "trace_info", "request_id"),
    ("trace_request_metadata", "request_id", "trace_info", "request_id"),
    ("trace_metrics", "request_id", "trace_info", "request_id"),
    ("spans", "trace_id", "trace_info", "request_id"),
    ("assessments", "trace_id", "trace_info", "request_id"),
    ("evaluation_dataset_tags", "dataset_id", "evaluation_datasets", "dataset_id"),
    ("evaluation_dataset_records", "dataset_id", "evaluation_datasets", "dataset_id"),
    ("scorers", "experiment_id", "experiments", "experiment_id"),
    ("scorer_versions", "scorer_id", "scorers", "scorer_id"),
)
