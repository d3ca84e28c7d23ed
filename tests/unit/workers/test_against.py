"""A target alone, looked at again, beside what an earlier proof wrote down of it."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.workers.running import IS_ROOT, NOBODY, Bench, Ran
from tests.unit.workers.test_manifest import copied, keeping_times

PROVED = "manifests/verify-data-target.tsv.gz"


def proved(bench: Bench, **params: Any) -> str:
    """Proves both sides; the digest of that."""
    ran = bench.start_request(bench.request("manifest", "verify", workers=2, **params)).wait().succeeded()
    assert ran.record is not None
    return ran.record.digest


def check(bench: Bench, digest: str, **params: Any) -> Ran:
    against = {"manifest": PROVED, "digest": digest}
    return bench.start("manifest", workers=2, rootsToRead=["target"], against=against, **params).wait()


@pytest.mark.parametrize("verify", ["Checksum", "Metadata"])
def test_a_target_that_nobody_touched_is_what_was_proved(bench: Bench, hard_tree: Path, verify: str) -> None:
    bench.source = hard_tree
    bench.copy().succeeded()
    digest = proved(bench, verify=verify)
    ran = check(bench, digest, verify=verify).succeeded()
    assert ran.record is not None
    assert ran.record.digest == digest
    assert ran.counts["verified"] == ran.counts["entries"] > 0


def test_it_needs_no_list_where_nothing_changed(bench: Bench) -> None:
    copied(bench)
    digest = proved(bench)
    (bench.workspace / PROVED).unlink()
    check(bench, digest).succeeded()


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("content", lambda path: path.write_text("c0ntent")),
        ("size", lambda path: path.write_text("longer content")),
        ("mode", lambda path: path.chmod(0o600)),
        ("type", lambda path: (path.unlink(), path.mkdir())),
        ("type", lambda path: (path.unlink(), os.mkfifo(path))),
    ],
)
def test_what_changed_since_is_named_with_what_differs(
    bench: Bench, what: str, change: Callable[[Path], object]
) -> None:
    path = copied(bench) / "d/file"
    digest = proved(bench)
    keeping_times(path, lambda: change(path))
    ran = check(bench, digest).failed("VerifyFailed")
    assert ran.record is not None
    assert ran.record.names["different"] == ("d/file",)
    assert what in ran.record.message
    assert (ran.counts["different"], ran.counts["missing"]) == (1, 0)


def test_what_is_gone_is_named_with_all_that_lay_in_it(bench: Bench) -> None:
    target = copied(bench)
    digest = proved(bench)
    for name in ("d/file", "d/other"):
        (target / name).unlink()
    (target / "d").rmdir()
    (target / "link").unlink()
    ran = check(bench, digest).failed("VerifyFailed")
    assert ran.record is not None
    assert set(ran.record.names["missing"]) == {"d", "d/file", "d/other", "link"}
    assert ran.counts["different"] == 0


def test_what_came_since_is_counted_and_no_fault(bench: Bench) -> None:
    target = copied(bench)
    digest = proved(bench)
    (target / "new").mkdir()
    (target / "new/file").write_text("theirs")
    os.link(target / "f", target / "another")  # a further name of two that were proved to be one
    ran = check(bench, digest).succeeded()
    assert ran.record is not None
    assert set(ran.record.names["extra"]) == {"another", "new", "new/file"}
    assert (ran.counts["missing"], ran.counts["different"], ran.counts["extra"]) == (0, 0, 3)


def test_names_that_are_not_one_file_any_more_are_told(bench: Bench) -> None:
    target = copied(bench)
    digest = proved(bench)
    keeping_times(target / "g", lambda: ((target / "g").unlink(), (target / "g").write_text("1")))
    ran = check(bench, digest).failed("VerifyFailed")
    assert ran.record is not None
    assert ran.record.names["different"] == ("g",)
    assert "hard links" in ran.record.message


def test_a_file_that_cannot_be_read_is_not_called_missing(bench: Bench) -> None:
    target = copied(bench)
    if IS_ROOT:  # who looks is an ordinary user
        bench.user = NOBODY
        for path in (bench.home, bench.workspace, *bench.workspace.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
    ownership = {"mode": "Helper"}
    digest = proved(bench, ownership=ownership)
    keeping_times(target / "d/file", lambda: (target / "d/file").chmod(0))
    ran = check(bench, digest, ownership=ownership).failed("VerifyFailed")
    assert ran.record is not None
    assert ran.counts["missing"] == 0
    assert "d/file" in ran.record.names["different"]


@pytest.mark.parametrize("spoil", ["removed", "cut", "changed"])
def test_without_the_list_the_digest_alone_says_that_something_differs(bench: Bench, spoil: str) -> None:
    target = copied(bench)
    digest = proved(bench)
    (target / "d/file").write_text("c0ntent")
    path = bench.workspace / PROVED
    match spoil:
        case "removed":
            path.unlink()
        case "cut":
            path.write_bytes(path.read_bytes()[:-20])
        case "changed":
            path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"d/other", b"d/0ther")))
    ran = check(bench, digest).failed("VerifyFailed")
    assert ran.record is not None
    assert "which objects differ cannot be told" in ran.record.message
    assert not ran.record.names


def test_a_target_that_is_gone_is_said_to_be_gone(bench: Bench) -> None:
    copied(bench)
    digest = proved(bench)
    bench.target.rename(bench.home / "away")
    ran = check(bench, digest).failed("VerifyFailed")
    assert ran.record is not None
    assert "does not exist any more" in ran.record.message


@pytest.mark.parametrize("manifest", ["/etc/passwd", "../x", "", None])
def test_a_list_outside_the_workspace_is_refused(bench: Bench, manifest: str | None) -> None:
    against = {"manifest": manifest, "digest": "sha256:0"}
    bench.start("manifest", rootsToRead=["target"], against=against).wait().failed("InvalidDocument")


def test_it_is_for_the_target_alone(bench: Bench) -> None:
    against = {"manifest": PROVED, "digest": "sha256:0"}
    bench.start("manifest", against=against).wait().failed("InvalidDocument")
