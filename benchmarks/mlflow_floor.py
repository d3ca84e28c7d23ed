"""The calls that no client can move a run without, made by one that does nothing else.

Of the source: the page that lists runs and the histories of their metrics, a hundred runs at a time; a list of each
folder of files and a read of each file. Of the target: a run's creation, one batch with all its metrics and params, its
end, and a write of each file: the interface has no call that takes more than one run or one file. Nothing is looked up,
marked, kept for a second attempt or tried again. What this takes is the servers' own time, whoever the client is.

``python -m benchmarks.mlflow_floor SOURCE TARGET THREADS EXPERIMENT…``, by addresses and names.
"""

from __future__ import annotations

import http.client
import json
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

API = "/api/2.0/mlflow"
HISTORIES = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
FILES = "/api/2.0/mlflow-artifacts/artifacts"

#: Experiments of one search, and runs of one page of it: as many as histories are given of at once.
EXPERIMENTS, RUNS = 50, 100
SECONDS = 180
#: A server closes a connection that is idle for longer (uvicorn: ``timeout_keep_alive``, 5 s).
IDLE_SECONDS = 3.0

Points = Mapping[str, Sequence[Mapping[str, Any]]]


class Caller:
    """A connection for each thread, kept open while it is used."""

    def __init__(self, address: str) -> None:
        self._host = urlsplit(address).netloc
        self._mine = threading.local()

    def call(self, method: str, path: str, body: bytes = b"") -> bytes:
        connection = self._connection()
        kind = "application/json" if method == "POST" else "application/octet-stream"
        connection.request(method, path, body or None, {"Content-Type": kind} if body else {})
        answer = connection.getresponse()
        data = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise SystemExit(f"{method} {path}: {answer.status} {data[:300]!r}")
        return data

    def _connection(self) -> http.client.HTTPConnection:
        now, mine = time.monotonic(), self._mine
        if now - getattr(mine, "used", -IDLE_SECONDS) >= IDLE_SECONDS:
            mine.connection = http.client.HTTPConnection(self._host, timeout=SECONDS)
        mine.used = now
        connection: http.client.HTTPConnection = mine.connection
        return connection

    def get(self, route: str, **query: Any) -> Any:
        return json.loads(self.call("GET", f"{route}?{urlencode(query, doseq=True)}"))

    def post(self, route: str, **body: Any) -> Any:
        return json.loads(self.call("POST", f"{API}/{route}", json.dumps(body).encode()))


def move(source: str, target: str, names: Sequence[str], threads: int) -> None:
    """Moves the runs of the experiments of these names into new ones."""
    here, there = Caller(source), Caller(target)
    found = {one["name"]: one["experiment_id"] for one in _pages(here, "experiments", max_results=1000)}
    with ThreadPoolExecutor(threads) as pool:
        made = pool.map(lambda name: there.post("experiments/create", name=name)["experiment_id"], names)
        homes = dict(zip((found[name] for name in names), made, strict=True))
        for start in range(0, len(homes), EXPERIMENTS):
            ids = list(homes)[start : start + EXPERIMENTS]
            page: list[Any] = []
            for run in _pages(here, "runs", experiment_ids=ids, max_results=RUNS):
                page.append(run)
                if len(page) == RUNS:
                    _group(pool, here, there, page, homes)
                    page = []
            _group(pool, here, there, page, homes)


def _pages(here: Caller, kind: str, **body: Any) -> Iterator[Any]:
    while True:
        answer = here.post(f"{kind}/search", **body)
        yield from answer.get(kind, ())
        if not answer.get("next_page_token"):
            return
        body["page_token"] = answer["next_page_token"]


def _group(
    pool: ThreadPoolExecutor, here: Caller, there: Caller, runs: Sequence[Any], homes: Mapping[str, str]
) -> None:
    of_key: dict[str, list[str]] = {}
    for run in runs:
        for metric in run["data"].get("metrics", ()):
            of_key.setdefault(metric["key"], []).append(run["info"]["run_id"])
    points: dict[str, list[Any]] = {}
    for key, ids in of_key.items():
        for row in here.get(HISTORIES, run_id=ids, metric_key=key, max_results=25_000)["metrics"]:
            points.setdefault(row.pop("run_id"), []).append(row)
    list(pool.map(lambda run: _run(here, there, run, points, homes), runs))


def _run(here: Caller, there: Caller, run: Any, points: Points, homes: Mapping[str, str]) -> None:
    info, data = run["info"], run["data"]
    known = {name: info[name] for name in ("user_id", "run_name", "start_time")}
    home = homes[info["experiment_id"]]
    made = there.post("runs/create", experiment_id=home, tags=data.get("tags", ()), **known)["run"]["info"]
    for path in _files(here, _folder(info)):
        content = here.call("GET", f"{FILES}/{quote(f'{_folder(info)}/{path}')}")
        there.call("PUT", f"{FILES}/{quote(f'{_folder(made)}/{path}')}", content)
    of_run = points.get(info["run_id"], ())
    there.post("runs/log-batch", run_id=made["run_id"], metrics=of_run, params=data.get("params", ()))
    there.post("runs/update", run_id=made["run_id"], status=info["status"], end_time=info.get("end_time", 0))


def _folder(info: Mapping[str, str]) -> str:
    return urlsplit(info["artifact_uri"]).path.strip("/")


def _files(here: Caller, folder: str, below: str = "") -> Iterator[str]:
    for item in here.get(FILES, path=f"{folder}/{below}").get("files", ()):
        path = f"{below}{item['path']}"
        if item.get("is_dir"):
            yield from _files(here, folder, f"{path}/")
        else:
            yield path


if __name__ == "__main__":
    move(sys.argv[1], sys.argv[2], sys.argv[4:], int(sys.argv[3]))
