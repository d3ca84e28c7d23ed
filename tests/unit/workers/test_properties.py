"""For any tree and any filter: a copy is proved, has one digest with its source, and a second one does nothing."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.workers import limits
from tests.unit.workers.conftest import remove
from tests.unit.workers.looking import differences, look
from tests.unit.workers.running import IS_ROOT, NOBODY, Bench
from tests.unit.workers.test_filters import PATTERNS

NAME = st.one_of(
    st.sampled_from(["a", "b", "a.log", "b.txt", ".x", "c"]),
    st.binary(min_size=1, max_size=20)
    .filter(lambda name: b"/" not in name and b"\0" not in name and name not in (b".", b".."))
    .map(os.fsdecode),
)
MOMENT = st.integers(0, 2**31 * 10**9)
MODE = st.sampled_from([0o644, 0o600, 0o444, 0o755, 0o4755, 0o2711, 0o640])
FILE = st.fixed_dictionaries(
    {
        "content": st.binary(max_size=200),
        "mode": MODE,
        "mtime": MOMENT,
        "hole": st.integers(0, 3),
        "link": st.booleans(),
    }
)
LINK = st.fixed_dictionaries({"target": st.text("ab/.", min_size=1, max_size=20), "mtime": MOMENT})
PIPE = st.fixed_dictionaries({"pipe": st.just(True), "mode": MODE, "mtime": MOMENT})
TREE = st.recursive(
    st.one_of(FILE, FILE, LINK, PIPE),
    lambda inner: st.fixed_dictionaries(
        {
            "in": st.dictionaries(NAME, inner, max_size=6),
            "mode": st.sampled_from([0o755, 0o700, 0o555]),
            "mtime": MOMENT,
        }
    ),
    max_leaves=25,
)
ROOT = st.dictionaries(NAME, TREE, max_size=6)


def make(directory: int, things: dict[str, Any], earlier: list[tuple[int, str]]) -> None:
    for name, thing in things.items():
        if "in" in thing:
            os.mkdir(name, 0o755, dir_fd=directory)
            inner = os.open(name, os.O_RDONLY, dir_fd=directory)
            make(inner, thing["in"], earlier)
            os.fchmod(inner, thing["mode"])
            os.utime(inner, ns=(0, thing["mtime"]))
            os.close(inner)
        elif "target" in thing:
            os.symlink(thing["target"], name, dir_fd=directory)
            os.utime(name, ns=(0, thing["mtime"]), dir_fd=directory, follow_symlinks=False)
        elif "pipe" in thing:
            os.mkfifo(name, dir_fd=directory)
            os.chmod(name, thing["mode"] & 0o777, dir_fd=directory)
            os.utime(name, ns=(0, thing["mtime"]), dir_fd=directory)
        elif thing["link"] and earlier:
            os.link(earlier[-1][1], name, src_dir_fd=earlier[-1][0], dst_dir_fd=directory)
        else:
            file = os.open(name, os.O_WRONLY | os.O_CREAT, 0o600, dir_fd=directory)
            os.pwrite(file, thing["content"], thing["hole"] * 40_000)
            os.fchmod(file, thing["mode"])
            os.utime(file, ns=(0, thing["mtime"]))
            os.close(file)
            earlier.append((os.dup(directory), name))


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    source=ROOT,
    before=st.one_of(st.just({}), ROOT),
    include=st.one_of(st.just([]), st.lists(PATTERNS, max_size=2)),
    exclude=st.lists(PATTERNS, max_size=3),
    delete=st.booleans(),
    plain=st.booleans(),
    small=st.booleans(),
)
def test_any_tree_through_any_filter_onto_any_target(
    source: dict[str, Any],
    before: dict[str, Any],
    include: list[str],
    exclude: list[str],
    delete: bool,
    plain: bool,
    small: bool,
) -> None:
    """``small``: with limits that make it a huge tree."""
    home = Path(tempfile.mkdtemp(prefix="workers-"))
    with limits.all_small() if small else contextlib.nullcontext():
        try:
            _hold(home, source, before, {"include": include, "exclude": exclude}, delete, plain)
        finally:
            remove(home)


def _hold(
    home: Path, source: dict[str, Any], before: dict[str, Any], params: dict[str, Any], delete: bool, plain: bool
) -> None:
    home.chmod(0o755)
    bench = Bench(home, user=NOBODY if plain else None)
    _fill(bench, bench.source, source)
    _fill(bench, bench.target, before)

    first = bench.copy(**params, delete=delete).succeeded()
    proof = bench.verify(**params, delete=delete).succeeded()
    second = bench.copy(**params, delete=delete).succeeded()

    assert first.counts["entries"] - first.counts["excluded"] == proof.counts["entries"]
    assert proof.record is not None
    assert proof.record.facts["source"]["digest"] == proof.record.facts["target"]["digest"]
    writes = ("copied", "metadataFixed", "bytesCopied", "deleted", "replaced")
    assert {name: second.counts[name] for name in writes} == dict.fromkeys(writes, 0)
    assert second.counts["bytes"] == first.counts["bytes"]
    if delete and not any(params.values()):
        ours, theirs = look(bench.source), look(bench.target)
        assert differences({path: ours[path] for path in theirs if path in ours}, theirs) == []


def _fill(bench: Bench, root: Path, things: dict[str, Any]) -> None:
    """As the user that the workers run as."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if bench.user is not None and IS_ROOT:
                os.setgroups([])
                os.setgid(bench.user)
                os.setuid(bench.user)
            make(os.open(root, os.O_RDONLY), things, [])
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
