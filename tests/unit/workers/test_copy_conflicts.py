"""What a target holds already: taken over, replaced, protected, counted, never followed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from project_migration.workers.reserved import owner_prefix, staged_name
from tests.unit.workers.looking import differences, look
from tests.unit.workers.running import Bench, names_of


def fill(root: Path, paths: dict[str, str]) -> None:
    """Files by path; a path with a slash at its end is an empty directory."""
    for path, content in paths.items():
        if path.endswith("/"):
            (root / path).mkdir(parents=True, exist_ok=True)
        else:
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(content)


def test_things_of_another_type_are_replaced_and_links_out_of_the_target_are_not_followed(bench: Bench) -> None:
    outside = bench.home / "outside"
    fill(outside, {"precious": "precious", "inner/precious": "precious"})
    precious = look(outside)
    fill(
        bench.source,
        {
            "to directory/in it": "1",
            "to file": "2",
            "was link/in it": "3",
            "was link to file": "4",
            "deep/er/file": "5",
        },
    )
    (bench.source / "to link").symlink_to("elsewhere")
    fill(bench.target, {"to directory": "", "to file/full/of": "things", "to link/also": "full", "deep/": ""})
    (bench.target / "was link").symlink_to(outside)
    (bench.target / "was link to file").symlink_to(outside / "precious")
    (bench.target / "deep" / "er").symlink_to(outside / "inner")

    ran = bench.copy().succeeded()

    assert differences(look(bench.source), look(bench.target)) == []
    assert look(outside) == precious
    assert ran.counts["replaced"] >= 3
    assert bench.verify().succeeded().counts["extra"] == 0


def test_links_planted_where_our_own_things_go_are_not_followed(bench: Bench) -> None:
    outside = bench.home / "outside"
    fill(outside, {"precious": "precious"})
    precious = look(outside)
    fill(bench.source, {"directory/file": "1", "file": "2"})
    prefix = owner_prefix(bench.uid)
    (bench.target / staged_name(prefix, "directory")).symlink_to(outside)
    (bench.target / f"{prefix}f-old").symlink_to(outside / "precious")

    bench.copy().succeeded()

    assert differences(look(bench.source), look(bench.target)) == []
    assert look(outside) == precious


def test_a_mark_that_is_a_link_is_refused(bench: Bench) -> None:
    outside = bench.home / "outside"
    outside.mkdir()
    (bench.target / ".project-migration").symlink_to(outside)

    ran = bench.copy()

    assert ran.code == 1
    assert list(outside.iterdir()) == []


def test_only_attributes_that_differ_are_mended_without_copying(bench: Bench) -> None:
    fill(bench.source, {"a/mode": "content", "a/attribute": "content", "a/same": "content"})
    bench.copy().succeeded()
    (bench.target / "a" / "mode").chmod(0o600)
    os.setxattr(bench.target / "a" / "attribute", "user.too", b"many")
    os.setxattr(bench.source / "a" / "attribute", "user.new", b"one")
    inode = (bench.target / "a" / "mode").stat().st_ino

    ran = bench.copy().succeeded()

    assert (ran.counts["metadataFixed"], ran.counts["copied"], ran.counts["bytesCopied"]) == (2, 0, 0)
    assert (bench.target / "a" / "mode").stat().st_ino == inode
    assert differences(look(bench.source), look(bench.target)) == []


def test_a_newer_file_of_the_same_size_is_copied_again(bench: Bench) -> None:
    fill(bench.source, {"file": "before"})
    bench.copy().succeeded()
    (bench.source / "file").write_text("after!")

    assert bench.copy().succeeded().counts["copied"] == 1
    assert (bench.target / "file").read_text() == "after!"


def test_content_that_differs_under_equal_times_is_found_when_asked_for(bench: Bench) -> None:
    fill(bench.source, {"file": "before", "other": "other"})
    bench.copy().succeeded()
    status = (bench.target / "file").stat()
    (bench.target / "file").write_text("b*fore")
    os.utime(bench.target / "file", ns=(status.st_atime_ns, status.st_mtime_ns))

    assert bench.copy().succeeded().counts["copied"] == 0
    ran = bench.copy(compare="Checksum").succeeded()

    assert ran.counts["copied"] == 1
    assert (bench.target / "file").read_text() == "before"


def test_hard_links_are_made_as_in_the_source_whatever_the_target_linked(bench: Bench) -> None:
    fill(bench.source, {"a": "same", "d/b": "same", "c": "same"})
    os.link(bench.source / "a", bench.source / "d" / "a too")
    os.link(bench.source / "a", bench.source / "a three")
    for name in ("a", "d/b", "c"):
        os.utime(bench.source / name, ns=(10**18, 10**18))
    bench.copy().succeeded()
    before = look(bench.source)
    assert differences(before, look(bench.target)) == []
    # now all of them are one file on the target, which looks like any of them
    for name in ("d/b", "c", "d/a too"):
        (bench.target / name).unlink()
        os.link(bench.target / "a", bench.target / name)

    bench.verify().failed("VerifyFailed")
    bench.copy().succeeded()

    assert differences(before, look(bench.target)) == []
    assert bench.copy().succeeded().counts["copied"] == 0
    bench.verify().succeeded()


def test_a_link_that_the_source_gave_up_is_given_up_on_the_target(bench: Bench) -> None:
    fill(bench.source, {"a": "content"})
    os.link(bench.source / "a", bench.source / "b")
    bench.copy().succeeded()
    (bench.source / "b").unlink()

    bench.copy().succeeded()

    assert (bench.target / "a").stat().st_nlink == 1
    assert (bench.target / "b").read_text() == "content", "extra, and left alone"


def test_extra_entries_are_counted_and_left_alone(bench: Bench) -> None:
    fill(bench.source, {"a/file": "1"})
    fill(bench.target, {"a/extra": "x", "also/extra": "y"})

    ran = bench.copy().succeeded()

    assert ran.counts["extra"] == 2
    assert sorted(names_of(ran, bench, "extra")) == ["a/extra", "also"]
    assert (bench.target / "also" / "extra").read_text() == "y"


def test_delete_removes_what_the_filter_takes_and_protects_what_it_excludes(bench: Bench) -> None:
    fill(bench.source, {"a/file": "1", "kept.log": "source's"})
    fill(
        bench.target,
        {
            "a/extra": "x",
            "a/debug.log": "excluded",
            "gone/deep/er/file": "x",
            "half/file": "x",
            "half/inner/some.log": "excluded",
            "lost+found/": "",
        },
    )

    ran = bench.copy(delete=True, exclude=["*.log"]).succeeded()

    found = look(bench.target)
    assert set(found) == {"", "a", "a/file", "a/debug.log", "half", "half/inner", "half/inner/some.log", "lost+found"}
    assert ran.counts["deleted"] == 6
    assert ran.counts["extra"] == 0
    bench.verify(delete=True, exclude=["*.log"]).succeeded()
    fill(bench.target, {"half/new": "too many"})
    ran = bench.verify(delete=True, exclude=["*.log"]).failed("VerifyFailed")
    assert names_of(ran, bench, "extra") == ["half/new"]


def test_delete_makes_an_exact_copy_and_finds_nothing_the_second_time(bench: Bench, hard_tree: Path) -> None:
    bench.source = hard_tree / "many"
    fill(bench.target, {"x/y/z": "1", "crowded/extra": "2"})

    bench.copy(delete=True).succeeded()

    assert differences(look(hard_tree / "many"), look(bench.target)) == []
    assert bench.copy(delete=True).succeeded().counts["deleted"] == 0


def test_leftovers_of_this_migration_go_and_those_of_others_stay(bench: Bench) -> None:
    fill(bench.source, {"a/file": "1"})
    mine, others = owner_prefix(bench.uid), owner_prefix("another")
    fill(bench.target, {f"a/{mine}f1": "half", f"a/{mine}dxyz/in/it": "half", f"a/{others}f1": "theirs"})

    ran = bench.copy(delete=True).succeeded()

    assert sorted(os.listdir(bench.target / "a")) == sorted(["file", f"{others}f1"])
    assert ran.counts["deleted"] == 0
    assert ran.counts["extra"] == 0


def test_reserved_names_of_a_source_are_not_copied(bench: Bench) -> None:
    """A source that was a target once may hold them."""
    fill(bench.source, {".project-migration/owner.json": "{}", f"{owner_prefix('x')}f1": "half", "file": "1"})
    fill(bench.source, {"inner/.project-migration/only": "in the root is it ours", "lost+found/": ""})

    ran = bench.copy().succeeded()

    assert set(look(bench.target)) == {"", "file", "inner", "inner/.project-migration", "inner/.project-migration/only"}
    assert ran.counts["entries"] == 5
    bench.verify().succeeded()


@pytest.mark.parametrize("content", ["file", ".hidden", "directory/"])
def test_a_target_that_has_to_be_empty_is_refused_before_anything_is_written(bench: Bench, content: str) -> None:
    fill(bench.source, {"a": "1"})
    fill(bench.target, {content: ""})
    before = look(bench.target, reserved=True)

    ran = bench.copy(requireEmpty=True).failed("TargetNotEmpty")

    assert ran.record is not None
    assert content.strip("/") in ran.record.message
    assert look(bench.target, reserved=True) == before


def test_lost_and_found_does_not_make_a_target_full(bench: Bench) -> None:
    fill(bench.source, {"a": "1"})
    (bench.target / "lost+found").mkdir()

    bench.copy(requireEmpty=True).succeeded()


def test_a_target_with_this_migrations_own_work_is_gone_on_with(bench: Bench) -> None:
    fill(bench.source, {"a": "1"})
    bench.copy(requireEmpty=True).succeeded()
    fill(bench.source, {"b": "2"})

    assert bench.copy(requireEmpty=True).succeeded().counts["copied"] == 1


def test_another_migrations_unfinished_work_is_no_empty_target(bench: Bench) -> None:
    Bench(bench.home, uid="another").copy().succeeded()

    ran = bench.copy(requireEmpty=True).failed("TargetNotEmpty")

    assert ran.record is not None
    assert "ml/vision" in ran.record.message


def test_two_copies_at_once_do_not_write_the_same_target(bench: Bench) -> None:
    fill(bench.source, {f"d/{number}": "x" * 1000 for number in range(200)})
    first = bench.start("copy_tree", bandwidth=20_000)
    first.wait_for_children()
    before = look(bench.target, reserved=True).keys()

    second = bench.copy().failed("TargetBusy")

    assert second.record is not None
    assert second.record.passing
    assert before <= look(bench.target, reserved=True).keys()
    first.kill()


@pytest.mark.parametrize(("source", "target"), [("a", "a"), ("a", "a/b"), ("a/b", "a")])
def test_roots_that_overlap_are_refused(bench: Bench, source: str, target: str) -> None:
    fill(bench.home, {"a/b/c": "1"})
    before = look(bench.home / "a", reserved=True)
    bench.source, bench.target = bench.home / source, bench.home / target

    bench.copy(delete=True).failed("PathsOverlap")

    assert look(bench.home / "a", reserved=True) == before


def test_a_target_that_is_missing_is_made_and_a_missing_source_is_named(bench: Bench) -> None:
    fill(bench.source, {"a": "1"})
    bench.target.rmdir()
    bench.copy().succeeded()
    assert (bench.target / "a").read_text() == "1"

    (bench.source / "a").unlink()
    bench.source.rmdir()
    bench.copy().failed("SourceNotFound")
    bench.source.write_text("")
    bench.copy().failed("SourceNotADirectory")


def test_the_program_teaches_its_use(bench: Bench) -> None:
    for worker in ("copy_tree", "survey", "manifest", "release"):
        command = [sys.executable, "-m", f"project_migration.workers.{worker}", "--help"]
        assert "params" in subprocess.run(command, capture_output=True, text=True, check=True).stdout
