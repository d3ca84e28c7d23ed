"""A copy may be cut short anywhere, and goes on where it was."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from benchmarks import trees
from project_migration.model.records import TERMINATION_MESSAGE_LIMIT
from project_migration.workers import harness
from tests.unit.workers.looking import Thing, differences, look, without_sockets
from tests.unit.workers.running import NOBODY, Bench, Running, is_alive, owner_json

SECOND = 1 << 20


def many_files(root: Path) -> None:
    trees.make_small(root, 400)
    for number in range(3):
        (root / f"large{number}").write_bytes(random.Random(number).randbytes((2 << 20) + number))
    for number in range(30):
        os.link(root / "large0", root / "part1" / f"link{number}")


def half_files(expected: dict[str, Thing], target: Path) -> list[str]:
    """Files whose content is not wholly there, under the names that people see."""
    return [
        path for path, thing in look(target).items() if thing.kind == "file" and thing.content != expected[path].content
    ]


@pytest.mark.parametrize("there", ["nothing", "directories"])
def test_a_copy_killed_at_any_moment_never_shows_half_a_file_and_goes_on(bench: Bench, there: str) -> None:
    """In directories that were there before, files get their names one by one."""
    many_files(bench.source)
    expected = look(bench.source)
    rng = random.Random(there)
    if there == "directories":
        shutil.copytree(bench.source, bench.target, ignore=_files, dirs_exist_ok=True)
    for _ in range(7):
        running = bench.start("copy_tree", workers=2, bandwidth=24 << 20)
        until = time.monotonic() + rng.uniform(0.0, 0.3)
        while time.monotonic() < until and not running.is_over():
            assert half_files(expected, bench.target) == []
        running.kill()
        assert half_files(expected, bench.target) == []
    _wait_for_lock(bench)

    bench.copy().succeeded()

    assert differences(expected, look(bench.target)) == []
    assert look(bench.target, reserved=True).keys() - expected.keys() == MARK


def _files(directory: str, names: list[str]) -> list[str]:
    return [name for name in names if not os.path.isdir(os.path.join(directory, name))]


MARK = {".project-migration", ".project-migration/lock", ".project-migration/owner.json"}


def _wait_for_lock(bench: Bench) -> None:
    """A killed coordinator's children die a moment after it, and hold its lock until then."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        ran = bench.copy(bandwidth=1 << 30)
        if ran.reason != "TargetBusy":
            return
        time.sleep(0.01)
    raise AssertionError("the lock of a killed copy is never given back")


def test_a_killed_copy_goes_on_without_a_second_copy_of_what_is_there(bench: Bench) -> None:
    trees.make_small(bench.source, 600)
    total = sum(thing.size for thing in look(bench.source).values())
    running = bench.start("copy_tree", workers=2, bandwidth=total)
    _wait_until_there(bench, total // 3)
    running.kill()
    there = _complete(bench)
    assert total // 4 < there < total
    while (ran := bench.copy()).reason == "TargetBusy":
        time.sleep(0.01)

    assert ran.succeeded().counts["bytesCopied"] <= total - there
    assert ran.counts["alreadyThere"] > 50
    assert differences(look(bench.source), look(bench.target)) == []


def _wait_until_there(bench: Bench, size: int) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if _complete(bench) >= size:
            return
        time.sleep(0.02)
    raise AssertionError("the copy does not come on")


def _complete(bench: Bench) -> int:
    """Bytes of files that have their final times, wherever they lie."""
    times = {thing.mtime for thing in look(bench.source).values() if thing.kind == "file"}
    try:
        found = look(bench.target, reserved=True).values()
    except OSError:  # it changes while we look
        return 0
    return sum(thing.size for thing in found if thing.kind == "file" and thing.mtime in times)


def test_an_ordinary_users_read_only_directories_get_their_content_on_resume_too(
    plain: Bench, ordinary_tree: Path
) -> None:
    rng = random.Random(3)
    for _ in range(4):
        running = plain.start("copy_tree", workers=2)
        time.sleep(rng.uniform(0.02, 0.25))
        running.kill()
    while (ran := plain.copy()).reason == "TargetBusy":
        time.sleep(0.01)
    ran.succeeded()
    assert differences(without_sockets(look(ordinary_tree)), look(plain.target)) == []

    # and what was finished already is opened again for what is new
    for name in ("modes/directory 0555", "modes/directory 0500"):
        directory = ordinary_tree / name
        directory.chmod(0o755)
        (directory / "new").write_bytes(b"new")
        os.chown(directory / "new", NOBODY, NOBODY)
        directory.chmod(int(name[-4:], 8))
    plain.copy().succeeded()
    assert differences(without_sockets(look(ordinary_tree)), look(plain.target)) == []


def test_sigterm_ends_it_at_once_with_143_no_record_and_no_children(bench: Bench) -> None:
    trees.make_small(bench.source, 300)
    running = bench.start("copy_tree", workers=2, bandwidth=1000)
    children = running.wait_for_children()
    _wait_for((bench.target / ".project-migration" / "owner.json").exists)

    began = time.monotonic()
    os.kill(running.pid, signal.SIGTERM)
    ran = running.wait()

    assert ran.code == 143
    assert ran.record is None
    assert not harness.result_path(running.request).exists()
    assert not (running.out / "termination.json").exists()
    assert time.monotonic() - began < 5
    assert not any(is_alive(child) for child in children)
    bench.copy().succeeded()
    assert differences(look(bench.source), look(bench.target)) == []


def test_children_die_with_a_coordinator_that_is_killed(bench: Bench) -> None:
    trees.make_small(bench.source, 300)
    running = bench.start("copy_tree", workers=2, bandwidth=1000)
    children = running.wait_for_children()

    running.kill()

    _wait_for(lambda: not any(is_alive(child) for child in children))


def _wait_for(true: object) -> None:
    deadline = time.monotonic() + 10
    while not true():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_killed_child_is_a_crash_that_says_what_kills_children(bench: Bench) -> None:
    trees.make_small(bench.source, 300)
    running = bench.start("copy_tree", workers=2, bandwidth=1000)
    children = running.wait_for_children()
    _wait_for(lambda: len(list(bench.target.iterdir())) > 1)

    os.kill(children[0], signal.SIGKILL)

    ran = running.wait().failed("HelperCrashed")
    assert ran.record is not None
    assert "memory" in ran.record.message
    assert not any(is_alive(child) for child in children)


def _once(bench: Bench, request: object) -> tuple[int, Running]:
    running = bench.start_request(request)  # type: ignore[arg-type]
    return running.wait().code, running


def test_a_request_that_was_done_gives_its_record_again_and_touches_nothing(bench: Bench) -> None:
    trees.make_small(bench.source, 30)
    request = bench.request("copy_tree", workers=2)
    assert _once(bench, request)[0] == 0
    first = harness.result_path(request).read_text()
    (bench.target / "part0").rename(bench.target / "moved away")  # a copy would bring it back
    before = look(bench.target, reserved=True)

    code, running = _once(bench, request)

    assert code == 0
    assert harness.result_path(request).read_text() == first
    assert (running.out / "termination.json").read_text() == first
    assert look(bench.target, reserved=True) == before
    assert running.wait().progress[-1].bytes_done == json.loads(first)["counts"]["bytes"]


def test_a_request_that_failed_is_tried_again(bench: Bench) -> None:
    (bench.target / "stranger").write_bytes(b"")
    (bench.source / "file").write_bytes(b"content")
    request = bench.request("copy_tree", requireEmpty=True)
    assert _once(bench, request)[0] == 1
    (bench.target / "stranger").unlink()

    code, running = _once(bench, request)

    assert code == 0
    assert running.wait().counts["copied"] == 1


def test_a_done_request_is_not_believed_when_its_target_is_gone(bench: Bench) -> None:
    (bench.source / "file").write_bytes(b"content")
    request = bench.request("copy_tree")
    assert _once(bench, request)[0] == 0
    shutil.rmtree(bench.target)

    code, _ = _once(bench, request)

    assert code == 0
    assert (bench.target / "file").read_bytes() == b"content"


def test_the_mark_says_whose_work_it_is_and_whether_it_is_finished(bench: Bench) -> None:
    trees.make_small(bench.source, 100)
    running = bench.start("copy_tree", bandwidth=1000)
    _wait_for((bench.target / ".project-migration" / "owner.json").exists)
    unfinished = owner_json(bench)
    running.kill()

    while bench.copy().reason == "TargetBusy":
        time.sleep(0.01)

    assert unfinished["finished"] is False
    assert {key: unfinished[key] for key in ("uid", "name", "namespace")} == {
        "uid": bench.uid,
        "name": "vision",
        "namespace": "ml",
    }
    assert owner_json(bench) == {**unfinished, "finished": True}


def test_records_fit_the_termination_log_even_with_the_longest_names(bench: Bench) -> None:
    for number in range(30):
        os.mkfifo(bench.source / (f"{number:02d}" + "\\\n" * 120))

    running = bench.start("copy_tree", specials="Skip")
    running.wait().succeeded()

    assert len((running.out / "termination.json").read_bytes()) <= TERMINATION_MESSAGE_LIMIT
