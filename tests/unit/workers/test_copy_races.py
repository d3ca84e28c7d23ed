"""Sources and targets that change while they are copied: told of, and never a way out of the trees."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks import trees
from tests.unit.workers.looking import differences, look
from tests.unit.workers.running import Bench, names_of

SECRET = "the secret of somebody else"


@contextlib.contextmanager
def meanwhile(action: Callable[[random.Random], None]) -> Iterator[None]:
    """Does something over and over while the block runs."""
    over = threading.Event()
    rng = random.Random(5)

    def run() -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                action(rng)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def swap_for_link(directory: Path, elsewhere: Path) -> Callable[[random.Random], None]:
    """Turns directories into links to elsewhere and back, as fast as it goes."""

    def swap(rng: random.Random) -> None:
        victim = directory / f"package{rng.randrange(40)}"
        aside = victim.with_name(f"{victim.name}-aside")
        victim.rename(aside)
        try:
            victim.symlink_to(elsewhere)
            victim.unlink()
        finally:
            aside.rename(victim)

    return swap


def outside(bench: Bench) -> Path:
    directory = bench.home / "outside"
    directory.mkdir()
    for number in range(50):
        (directory / f"file{number}").write_text(SECRET)
    return directory


def contents(root: Path) -> set[str]:
    """Of real files in real directories; a link that was copied as a link is no way out."""
    paths = [Path(directory) / name for directory, _, names in os.walk(root) for name in names]
    return {path.read_text() for path in paths if path.is_file() and not path.is_symlink()}


def packages(root: Path, files: int) -> None:
    for directory in range(40):
        (root / f"package{directory}").mkdir(parents=True, exist_ok=True)
        for number in range(files):
            (root / f"package{directory}" / f"file{number}").write_text(f"{directory} {number}")


def test_a_source_that_turns_directories_into_links_never_has_us_read_outside(bench: Bench) -> None:
    packages(bench.source, 50)
    elsewhere = outside(bench)

    with meanwhile(swap_for_link(bench.source, elsewhere)):
        for _ in range(4):
            bench.copy()

    assert SECRET not in contents(bench.target)
    bench.copy(delete=True).succeeded()
    assert differences(look(bench.source), look(bench.target)) == []


def test_a_target_that_turns_directories_into_links_never_has_us_write_outside(bench: Bench) -> None:
    packages(bench.source, 50)
    packages(bench.target, 10)
    elsewhere = outside(bench)
    before = look(elsewhere)

    with meanwhile(swap_for_link(bench.target, elsewhere)):
        for number in range(5):
            bench.copy(delete=number % 2 == 1, ownership={"mode": "Helper"})

    assert look(elsewhere) == before
    bench.copy(delete=True).succeeded()
    assert differences(look(bench.source), look(bench.target)) == []


def test_removing_extra_trees_never_follows_a_link_that_appears(bench: Bench) -> None:
    elsewhere = outside(bench)
    before = look(elsewhere)
    for _ in range(4):
        packages(bench.target, 40)
        with meanwhile(swap_for_link(bench.target, elsewhere)):
            bench.copy(delete=True)
        assert look(elsewhere) == before


def test_a_file_that_grows_while_it_is_read_is_named_and_not_shown(bench: Bench) -> None:
    (bench.source / "still").write_text("still")
    growing = bench.source / "growing"
    growing.write_bytes(bytes(3 << 20))
    stream = growing.open("ab", buffering=0)

    with stream, meanwhile(lambda _: stream.write(b"more") and time.sleep(0.001)):
        ran = bench.copy(bandwidth=50 << 20).failed("SourceChanged")

    assert ran.record is not None
    assert ran.record.passing
    assert ran.counts["changed"] == 1
    assert ran.record.names["changed"] == ("growing",)
    assert not (bench.target / "growing").exists()
    assert (bench.target / "still").read_text() == "still"
    assert [name for name in os.listdir(bench.target) if name.startswith(".project-migration-")] == []
    bench.copy().succeeded()


def test_files_that_vanish_are_named_and_the_rest_arrives(bench: Bench) -> None:
    trees.make_small(bench.source, 200)
    running = bench.start("copy_tree", bandwidth=200_000, workers=1)
    running.wait_for_children()
    time.sleep(0.05)
    for directory in list(bench.source.rglob("package*"))[-3:]:
        for path in directory.iterdir():
            path.unlink()
    ran = running.wait()

    if ran.code == 0:  # they went before they were listed
        assert ran.counts["vanished"] == 0
    else:
        ran.failed("SourceChanged")
        assert ran.record is not None
        assert ran.record.passing
        assert ran.counts["vanished"] + ran.counts["changed"] > 0
    bench.copy(delete=True).succeeded()
    assert differences(look(bench.source), look(bench.target)) == []


def test_a_directory_that_gets_entries_while_it_is_copied_is_named(bench: Bench) -> None:
    trees.make_small(bench.source, 100)
    directory = next(bench.source.rglob("package0"))

    def add(rng: random.Random) -> None:
        (directory / f"new{rng.randrange(10**9)}").write_bytes(b"")
        time.sleep(0.001)

    with meanwhile(add):
        ran = bench.copy(bandwidth=600_000).failed("SourceChanged")

    assert str(directory.relative_to(bench.source)) in names_of(ran, bench, "changed")
    bench.copy().succeeded()
    assert differences(look(bench.source), look(bench.target)) == []


def test_a_verification_tells_that_a_source_changes(bench: Bench) -> None:
    path = bench.source / "growing"
    path.write_bytes(bytes(8 << 20))
    stream = path.open("ab", buffering=0)
    bench.copy().succeeded()

    with stream, meanwhile(lambda _: stream.write(b"more") and time.sleep(0.001)):
        ran = bench.verify()

    assert ran.reason in ("SourceChanged", "VerifyFailed")
    assert ran.counts["changed"] + ran.counts["different"] == 1


@pytest.mark.parametrize("kind", ["pipe", "directory", "link"])
def test_a_file_that_becomes_something_else_is_never_opened_as_that(bench: Bench, kind: str) -> None:
    """A pipe would have us wait for ever, a device might do anything."""
    elsewhere = outside(bench)
    for number in range(300):
        (bench.source / f"file{number}").write_bytes(b"x" * 100)

    def turn(rng: random.Random) -> None:
        path = bench.source / f"file{rng.randrange(300)}"
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
            path.unlink()
        elif kind == "directory":
            path.mkdir()
            path.rmdir()
        else:
            path.symlink_to(elsewhere / "file1")
            path.unlink()
        path.write_bytes(b"x" * 100)

    with meanwhile(turn):
        bench.copy()

    assert SECRET not in contents(bench.target)
    bench.copy(delete=True).succeeded()
    assert differences(look(bench.source), look(bench.target)) == []
