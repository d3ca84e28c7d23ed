"""A wrong document is refused with the field named, and with everything that is wrong at once."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project_migration.model.endpoints import Volume
from project_migration.model.errors import DocumentError
from project_migration.model.rules import overlap, read_document


def a_document() -> dict[str, Any]:
    return {
        "apiVersion": "migration.mlops.dev/v1alpha1",
        "kind": "ProjectMigration",
        "metadata": {"name": "files", "namespace": "ml"},
        "spec": {
            "volumes": {"pairs": [{"name": "data", "source": {"claimName": "old"}, "target": {"claimName": "new"}}]},
            "workspace": {"claimName": "work"},
        },
    }


def refused(data: object, *, local: bool = False) -> tuple[str, ...]:
    with pytest.raises(DocumentError) as caught:
        read_document(data, local=local)
    return caught.value.problems


def with_spec(**changes: Any) -> dict[str, Any]:
    data = a_document()
    data["spec"].update(changes)
    return data


def with_pair(**changes: Any) -> dict[str, Any]:
    data = a_document()
    data["spec"]["volumes"]["pairs"][0].update(changes)
    return data


def test_a_good_document_is_read_with_its_defaults() -> None:
    document = read_document(a_document(), local=False)
    assert document.spec.transfer.workers == 4
    assert document.spec.platform == "volumes"


def test_a_claim_that_two_pairs_share_is_made_in_one_way() -> None:
    def pairs(*creates: dict[str, Any] | None) -> dict[str, Any]:
        found = []
        for name, create in zip(("one", "two"), creates, strict=True):
            more = {} if create is None else {"create": create}
            target = {"claimName": "new", "subPath": name, **more}
            found.append({"name": name, "source": {"claimName": f"{name}-old"}, "target": target})
        return with_spec(volumes={"pairs": found})

    for same in (pairs({}, None), pairs({"size": "1Gi"}, {"size": "1Gi"}), pairs(None, {"size": "1Gi"})):
        read_document(same, local=False)
    [problem] = refused(pairs({"size": "1Gi"}, {"size": "2Gi"}))
    assert problem.startswith("spec.volumes.pairs[1].target.create: pairs[0] has claim new made otherwise")


@pytest.mark.parametrize(
    ("data", "field", "words"),
    [
        ([], "the document", "not a mapping"),
        (with_spec(wokspace={}), "spec.wokspace", "did you mean workspace?"),
        (with_spec(transfer={"workers": -1}), "spec.transfer.workers", "greater than or equal to 1"),
        (with_spec(cutover={"mode": "At"}), "spec.cutover.at", "mode At needs a moment"),
        (with_spec(cutover={"mode": "At", "at": "tomorrow"}), "spec.cutover.at", "datetime"),
        (with_spec(cutover={"notAfter": "2026-01-01T00:00:00"}), "spec.cutover.notAfter", "timezone"),
        (
            with_spec(cutover={"at": "2026-01-01T02:00:00Z", "notAfter": "2026-01-01T03:00:00+02:00"}),
            "spec.cutover.notAfter",
            "must lie after cutover.at",
        ),
        (with_spec(retries=-3), "spec.retries", "greater than or equal to 0"),
        (with_spec(transfer={"bandwidth": "fast"}), "spec.transfer.bandwidth", "'fast'"),
        (with_spec(timeouts={"quiesce": "soon"}), "spec.timeouts.quiesce", "'soon'"),
        (with_spec(cml={}), "spec", "exactly one platform"),
        (with_spec(volumes=None), "spec", "exactly one platform"),
        (with_spec(volumes=None, cml={}), "spec.cml", "NotSupportedYet"),
        (with_spec(workspace=None), "spec.workspace", "name the workspace claim"),
        (with_spec(workspace={"claimName": "w", "size": "1Gi"}), "spec.workspace", "either claimName, or size"),
        (with_spec(workspace={"claimName": "new"}), "spec.workspace.claimName", "a claim of its own"),
        (with_spec(ownership={"mode": "Set"}), "spec.ownership", "needs uid and gid"),
        (with_spec(ownership={"mode": "Helper", "uid": 0}), "spec.ownership.uid", "never runs as user 0"),
        (with_spec(backup={}), "spec.backup", "give either claimName, or waive"),
        (with_spec(backup={"claimName": "b", "waive": "no need"}), "spec.backup", "give either claimName, or waive"),
        (with_spec(backup={"claimName": "new"}), "spec.backup", "a place of its own"),
        (with_spec(backup={"path": "/srv/backup"}), "spec.backup.path", "only in documents run on one machine"),
        (with_pair(name="backup-data"), "spec.volumes.pairs[0].name", "kept for backups"),
        (with_pair(name="Data!"), "spec.volumes.pairs[0].name", "does not have the form"),
        (with_pair(source={}), "spec.volumes.pairs[0].source", "give claimName"),
        (
            with_pair(source={"path": "/srv"}),
            "spec.volumes.pairs[0].source.path",
            "only in documents run on one machine",
        ),
        (with_pair(target={"claimName": "old"}), "spec.volumes.pairs[0].target", "neither inside the other"),
        (with_pair(target={"claimName": "new", "subPath": "../x"}), "spec.volumes.pairs[0].target.subPath", "no '..'"),
        (
            with_pair(target={"claimName": "new", "cluster": "far"}),
            "spec.volumes.pairs[0].target.cluster",
            "NotSupportedYet",
        ),
        (
            with_pair(source={"claimName": "old", "create": {}}),
            "spec.volumes.pairs[0].source.create",
            "there is no such field",
        ),
        (
            with_pair(target={"claimName": "new", "create": {"size": "much"}}),
            "spec.volumes.pairs[0].target.create.size",
            "does not have the form",
        ),
        (
            with_pair(
                target={"claimName": "new", "create": {"accessModes": ["ReadWriteOncePod", "ReadWriteMany"]}},
            ),
            "spec.volumes.pairs[0].target.create.accessModes",
            "goes with no other mode",
        ),
        (with_pair(exclude=["ok", "!"]), "spec.volumes.pairs[0].exclude[1]", "gitignore pattern"),
        (with_pair(include=["a"] * 101), "spec.volumes.pairs[0].include", "100"),
    ],
)
def test_what_is_wrong_is_named_by_its_field(data: object, field: str, words: str) -> None:
    problems = refused(data)
    assert any(line.startswith(field) and words in line for line in problems), problems


def test_everything_that_is_wrong_is_said_at_once() -> None:
    data = with_pair(target={"claimName": "old"}, exclude=["!"])
    data["spec"]["workspace"] = None
    assert len(refused(data)) == 3


def test_a_pair_name_is_used_once() -> None:
    data = a_document()
    pair = data["spec"]["volumes"]["pairs"][0]
    data["spec"]["volumes"]["pairs"].append(
        {**copy.deepcopy(pair), "source": {"claimName": "a"}, "target": {"claimName": "b"}}
    )
    assert "spec.volumes.pairs[1].name: data is used twice" in refused(data)


def test_no_pair_writes_where_another_reads_or_writes() -> None:
    data = a_document()
    data["spec"]["volumes"]["pairs"].append(
        {"name": "more", "source": {"claimName": "new", "subPath": "x"}, "target": {"claimName": "far"}}
    )
    assert any("pairs[1].source" in line and "overlaps" in line for line in refused(data))


def test_a_document_for_one_machine_may_give_paths_and_needs_no_workspace() -> None:
    data = with_pair(source={"path": "/srv/old"}, target={"path": "/srv/new"})
    del data["spec"]["workspace"]
    assert read_document(data, local=True).spec.volumes is not None
    data["spec"]["volumes"]["pairs"][0]["target"] = {"path": "/srv/old/inner"}
    assert any("neither inside the other" in line for line in refused(data, local=True))


SUB_PATHS = st.lists(st.sampled_from(["a", "b", "c"]), max_size=3).map("/".join).map(lambda text: text or None)


@given(SUB_PATHS, SUB_PATHS)
def test_overlap_is_symmetric_and_means_a_common_directory(one: str | None, other: str | None) -> None:
    left, right = Volume(claim_name="x", sub_path=one), Volume(claim_name="x", sub_path=other)
    assert overlap(left, right) == overlap(right, left)
    parts = [(path or "").split("/") if path else [] for path in (one, other)]
    shorter = min(len(part) for part in parts)
    assert overlap(left, right) == (parts[0][:shorter] == parts[1][:shorter])
    assert not overlap(left, Volume(claim_name="y", sub_path=other))
