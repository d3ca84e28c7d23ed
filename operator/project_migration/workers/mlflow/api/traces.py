"""Traces keep their ids: first what is told of a trace, then its spans by OTLP, many traces in one call.

Spans that an old server kept as a file are moved as that file.
"""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.json_format import ParseDict, ParseError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from project_migration.workers.mlflow.api import experiments, marks, rewriting
from project_migration.workers.mlflow.api.client import B, Json
from project_migration.workers.mlflow.api.entities import File, Owner, Place, Trace
from project_migration.workers.mlflow.api.failures import Answer, ObjectFailed
from project_migration.workers.mlflow.api.ids import Kind, Mapped
from project_migration.workers.mlflow.api.parsing import SPANS_LOCATION
from project_migration.workers.mlflow.api.server import SPAN_BYTES, Feature, span_bytes
from project_migration.workers.mlflow.api.work import Shelves, Work

#: Traces whose spans go in one call.
AT_ONCE = 50
SPAN_FILE = "traces.json"
ARTIFACTS = "ARTIFACT_REPO"


def copy_all(work: Work) -> None:
    for sources in experiments.selected(work):
        _look(work, sources)
        waiting: list[Trace] = []
        size = 0
        for trace in work.reader.traces(sources):
            work.account.expect(items=1)
            if _there(work, trace):
                continue
            if waiting and (trace.experiment != waiting[0].experiment or size >= SPAN_BYTES or len(waiting) >= AT_ONCE):
                work.pool.submit(_copy_some, work, waiting)
                waiting, size = [], 0
            waiting.append(trace)
            size += span_bytes(trace)
        if waiting:
            work.pool.submit(_copy_some, work, waiting)
    work.pool.drain()


def _look(work: Work, sources: Sequence[str]) -> None:
    """Traces that are whole on the target: their spans are, or there are none."""
    mapped = (work.ids.get(Kind.EXPERIMENT, one) for one in sources)
    there = [one.target for one in mapped if one and one.state == experiments.THERE]
    if there:
        for trace in work.server.traces(there, spans=False):
            work.shelf.put(Shelves.TRACE_THERE, trace.id, trace.tags.get(SPANS_LOCATION, ""))


def _there(work: Work, trace: Trace) -> bool:
    found = work.shelf.get(Shelves.TRACE_THERE, trace.id)
    if found is None or found != trace.tags.get(SPANS_LOCATION, found):
        return False
    work.ids.put(Kind.TRACE, trace.id, Mapped(trace.id))
    work.account.count("tracesThere")
    work.account.finished()
    return True


def _copy_some(work: Work, traces: list[Trace]) -> None:
    """Of one experiment. A trace that fails is named; the spans of the others go together."""
    with_spans: list[Trace] = []
    experiment = work.ids.target(Kind.EXPERIMENT, traces[0].experiment)
    elsewhere = _elsewhere(work, experiment, traces)
    for trace in traces:
        with work.account.one(trace.title):
            work.lacks(Feature.TRACES)
            if trace.id in elsewhere:
                raise ObjectFailed(f"the target has a trace of this id in its experiment {elsewhere[trace.id]}")
            _told(work, trace)
            if trace.spans:
                work.lacks(Feature.SPANS)
                with_spans.append(trace)
            else:
                _moved(work, trace)
    if not with_spans:
        return
    try:
        _spans(work, experiment, with_spans)
    except ObjectFailed:
        for trace in with_spans:  # one that cannot be taken fails the call: each by itself then
            with work.account.one(trace.title):
                _spans(work, experiment, [trace])
                _moved(work, trace)
        return
    for trace in with_spans:
        _moved(work, trace)


def _elsewhere(work: Work, experiment: str, traces: Sequence[Trace]) -> dict[str, str]:
    """Traces of these ids in other experiments, which must not be drawn into ours."""
    ids = [trace.id for trace in traces]
    try:
        infos = work.client.post(f"{B}/traces/batchGetInfos", {"trace_ids": ids}).get("trace_infos") or ()
    except Answer:  # older servers tell one at a time
        infos = [info for identity in ids if (info := _info(work, identity))]
    found = {info["trace_id"]: str(info["trace_location"]["mlflow_experiment"]["experiment_id"]) for info in infos}
    return {identity: where for identity, where in found.items() if where != experiment}


def _info(work: Work, identity: str) -> Json | None:
    try:
        found: Json = work.client.get(f"{B}/traces/{identity}")["trace"]["trace_info"]
    except Answer:
        return None
    return found


def _moved(work: Work, trace: Trace) -> None:
    work.ids.put(Kind.TRACE, trace.id, Mapped(trace.id))
    work.account.count("traces")
    work.account.count("spans", len(trace.spans))


def _told(work: Work, trace: Trace) -> None:
    in_file = trace.span_file and not work.choices.selection.metadata_only
    whole = bool(trace.spans) or trace.span_file
    if not trace.span_file and not trace.spans:
        what = "the source does not give its spans" if trace.metadata.get("mlflow.trace.sizeStats") else ""
        if what:
            work.account.name("failed", trace.title, what)
    info = rewriting.trace_info(trace.info, work.ids, whole=whole)
    if in_file:
        info["tags"][SPANS_LOCATION] = trace.tags.get(SPANS_LOCATION, ARTIFACTS)
    info["tags"][marks.MIGRATION] = work.migration
    answer = work.client.post(f"{B}/traces", {"trace": {"trace_info": info}})
    if in_file:
        told = answer["trace"]["trace_info"].get("tags", {}).get(rewriting.ARTIFACT_LOCATION, "")
        way = work.way(trace.place, Place(Owner.TRACE, trace.id, told))
        if not work.transfer.one_file(way, File(SPAN_FILE, None), trace.title):
            raise ObjectFailed("its spans did not move")


def _spans(work: Work, experiment: str, traces: Sequence[Trace]) -> None:
    message = ExportTraceServiceRequest()
    try:
        spans = [rewriting.span(span, experiment) for trace in traces for span in trace.spans]
        ParseDict({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}, message)
    except ParseError as error:
        raise ObjectFailed(f"its spans are not as expected: {error}") from error
    headers = {"Content-Type": "application/x-protobuf", "x-mlflow-experiment-id": experiment}
    data = message.SerializeToString()
    work.client.tried(lambda: work.client.send("POST", "v1/traces", data, headers))
