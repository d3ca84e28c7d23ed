"""A few calls of a server, for what a test changes or looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import requests

API = "api/2.0/mlflow"
SECONDS = 60


@dataclass(frozen=True)
class Rest:
    url: str
    login: tuple[str, str] | None = None

    def post(self, path: str, body: dict[str, Any]) -> Any:
        answer = requests.post(f"{self.url}/{API}/{path}", json=body, auth=self.login, timeout=SECONDS)
        answer.raise_for_status()
        return answer.json()

    def get(self, path: str, **query: str) -> Any:
        answer = requests.get(f"{self.url}/{API}/{path}", query, auth=self.login, timeout=SECONDS)
        answer.raise_for_status()
        return answer.json()

    def text(self, path: str) -> str:
        answer = requests.get(f"{self.url}/{path}", auth=self.login, timeout=SECONDS)
        answer.raise_for_status()
        return answer.text

    def experiments(self, view: str = "ALL") -> dict[str, str]:
        """Ids by name."""
        found = self.post("experiments/search", {"view_type": view, "max_results": 1000}).get("experiments", ())
        return {one["name"]: one["experiment_id"] for one in found}

    def runs(self, *experiments: str, filter_text: str = "") -> list[Any]:
        there = self.experiments()
        ids = [there[name] for name in experiments if name in there]
        body = {"experiment_ids": ids, "filter": filter_text, "run_view_type": "ALL", "max_results": 1000}
        return list(self.post("runs/search", body).get("runs", ())) if ids else []

    def names(self, experiment: str) -> list[str]:
        """Of the runs of one experiment."""
        return sorted(str(run["info"]["run_name"]) for run in self.runs(experiment))

    def moved(self, source: str, *experiments: str) -> Any:
        """The one run that was moved from that one of the source."""
        (found,) = self.runs(*experiments, filter_text=f"tags.`project_migration.source_run_id` = '{source}'")
        return found
