"""What is taken of a tree: gitignore patterns, the same for a copy, its proof and its survey."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pathspec import GitIgnoreSpec

from project_migration.workers import filters
from project_migration.workers.filters import Verdict, selection
from tests.unit.workers.looking import differences, look
from tests.unit.workers.running import Bench
from tests.unit.workers.test_copy_conflicts import fill

TREE = {
    "a/model.bin": "1",
    "a/notes.txt": "2",
    "a/cache/x.tmp": "3",
    "a/cache/keep.txt": "4",
    "b/deep/er/model.bin": "5",
    "b/deep/er/notes.txt": "6",
    "b/empty/": "",
    "logs/one.log": "7",
    "logs/keep.log": "8",
    ".hidden/file": "9",
    "top.txt": "10",
}


def taken(bench: Bench, **params: object) -> set[str]:
    """Copies, checks that the proof and the survey see the same, and returns what arrived."""
    copied = bench.copy(**params).succeeded()
    verified = bench.verify(**params).succeeded()
    surveyed = bench.survey(**params).succeeded()
    found = look(bench.target)
    assert verified.counts["entries"] == len(found)
    assert copied.counts["files"] == verified.counts["files"] == surveyed.counts["files"]
    source = look(bench.source)
    assert differences({path: source[path] for path in found}, found) == []
    assert bench.copy(**params).succeeded().counts["copied"] == 0
    return {path for path, thing in found.items() if thing.kind != "directory"}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({}, {path for path in TREE if not path.endswith("/")}),
        (
            {"exclude": ["*.txt"]},
            {"a/model.bin", "a/cache/x.tmp", "b/deep/er/model.bin", "logs/one.log", "logs/keep.log", ".hidden/file"},
        ),
        ({"exclude": ["/a", "logs/"]}, {"b/deep/er/model.bin", "b/deep/er/notes.txt", ".hidden/file", "top.txt"}),
        ({"exclude": ["logs/*", "!logs/keep.log"], "include": ["/logs"]}, {"logs/keep.log"}),
        ({"exclude": ["cache/", "!keep.txt"], "include": ["a"]}, {"a/model.bin", "a/notes.txt", "a/cache/keep.txt"}),
        ({"include": ["*.bin"]}, {"a/model.bin", "b/deep/er/model.bin"}),
        ({"include": ["b/deep/"]}, {"b/deep/er/model.bin", "b/deep/er/notes.txt"}),
        ({"include": ["**/er/*.txt", "/top.txt"]}, {"b/deep/er/notes.txt", "top.txt"}),
        ({"include": ["a", "b"], "exclude": ["*.bin", "cache"]}, {"a/notes.txt", "b/deep/er/notes.txt"}),
        ({"include": ["nothing at all"]}, set()),
        ({"exclude": ["# a comment", "", "\\#not one"]}, {path for path in TREE if not path.endswith("/")}),
    ],
)
def test_patterns_take_what_git_would(bench: Bench, params: dict[str, list[str]], expected: set[str]) -> None:
    fill(bench.source, TREE)
    assert taken(bench, **params) == expected


def test_directories_on_the_way_to_what_is_included_come_with_their_own_attributes(bench: Bench) -> None:
    fill(bench.source, TREE)
    (bench.source / "b").chmod(0o750)
    (bench.source / "b" / "deep").chmod(0o711)

    bench.copy(include=["b/deep/er/model.bin"]).succeeded()

    assert set(look(bench.target)) == {"", "b", "b/deep", "b/deep/er", "b/deep/er/model.bin"}
    source = look(bench.source)
    assert differences({path: source[path] for path in look(bench.target)}, look(bench.target)) == []


def test_the_sources_own_ignore_file_is_honoured_and_comes_along(bench: Bench) -> None:
    fill(bench.source, {**TREE, ".exportignore": "*.log\n# comment\n!keep.log\n/b/\n"})

    assert taken(bench, ignoreFile=".exportignore") == {
        path for path in (*TREE, ".exportignore") if not path.startswith("b/") and path != "logs/one.log"
    }


def test_the_requests_patterns_have_the_last_word_over_the_ignore_file(bench: Bench) -> None:
    fill(bench.source, {"a.log": "1", "b.log": "2", ".exportignore": "*.log\n"})

    assert taken(bench, ignoreFile=".exportignore", exclude=["!b.log"]) == {".exportignore", "b.log"}


def test_an_ignore_file_that_is_a_link_is_not_read(bench: Bench) -> None:
    fill(bench.home, {"elsewhere": "*"})
    fill(bench.source, {"a": "1"})
    (bench.source / ".exportignore").symlink_to(bench.home / "elsewhere")

    assert taken(bench, ignoreFile=".exportignore") == {"a", ".exportignore"}


def test_excluded_entries_of_a_target_are_neither_touched_nor_counted(bench: Bench) -> None:
    fill(bench.source, {"a/x": "1", "a/y.log": "source's"})
    fill(bench.target, {"a/y.log": "target's", "b.log": "target's"})

    ran = bench.copy(exclude=["*.log"]).succeeded()

    assert (bench.target / "a" / "y.log").read_text() == "target's"
    assert ran.counts["extra"] == 0
    assert ran.counts["excluded"] == 1
    assert bench.verify(exclude=["*.log"]).succeeded().counts["extra"] == 0


@pytest.mark.parametrize("pattern", ["a/\n**b**/[", "!", "foo\\"])
def test_what_is_no_pattern_is_named_before_anything_is_looked_at(bench: Bench, pattern: str) -> None:
    try:
        GitIgnoreSpec.from_lines([pattern])
    except ValueError:
        with pytest.raises(ValueError, match="is not a gitignore pattern"):
            filters.check([pattern])
        ran = bench.copy(exclude=[pattern]).failed("InvalidDocument")
        assert list(bench.target.iterdir()) == []
        assert ran.record is not None
        assert "gitignore" in ran.record.message
    else:
        filters.check([pattern])


NAMES = st.sampled_from(["a", "b", "ab", "a.log", "b.txt", "c", ".x", "a b", "[a]", "日"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
PATTERNS = st.builds(
    lambda negate, root, parts, directory: f"{negate}{root}{'/'.join(parts)}{directory}",
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "/", "**/"]),
    st.lists(st.sampled_from(["a", "b", "*", "**", "*.log", "a*", "?", "[ab]", ".x", "b.txt"]), min_size=1, max_size=3),
    st.sampled_from(["", "/"]),
)


@given(patterns=st.lists(PATTERNS, max_size=5), path=PATHS, directory=st.booleans())
def test_compiled_patterns_say_what_pathspec_says(patterns: list[str], path: str, directory: bool) -> None:
    subject = f"{path}/" if directory else path
    expected = GitIgnoreSpec.from_lines(patterns).match_file(subject)
    assert filters.compiled(tuple(patterns)).matches(subject) == expected


@given(include=st.lists(PATTERNS, max_size=4), exclude=st.lists(PATTERNS, max_size=4), path=PATHS)
def test_no_directory_is_passed_by_that_has_something_to_take(
    include: list[str], exclude: list[str], path: str
) -> None:
    chosen = selection(include, exclude)
    if chosen.judge(path, is_directory=False) is not Verdict.TAKE:
        return
    parts = path.split("/")
    for end in range(1, len(parts)):
        assert chosen.judge("/".join(parts[:end]), is_directory=True) is not Verdict.LEAVE


def test_names_with_newlines_match_as_a_whole() -> None:
    chosen = selection([], ["*.log", "/dir/**/x"])
    assert chosen.judge("a.log", False) is Verdict.LEAVE
    assert chosen.judge("a.log\n", False) is Verdict.TAKE
    assert chosen.judge("a\nb.log", False) is Verdict.LEAVE
    assert chosen.judge("dir/a\nb/x", False) is Verdict.LEAVE


def test_git_agrees_about_a_tree_without_negations(bench: Bench) -> None:
    """Where a negation reaches below an excluded directory pathspec is more generous than git, on purpose."""
    fill(bench.source, TREE)
    patterns = ["*.txt", "!top.txt", "cache/", "/b/**/er", "logs/one.*"]
    fill(bench.source, {".gitignore": "\n".join(patterns)})
    _git(bench.source, "init", "-q")
    listed = _git(bench.source, "ls-files", "-co", "--exclude-standard").split()
    subprocess.run(["rm", "-rf", bench.source / ".git"], check=True)

    assert taken(bench, ignoreFile=".gitignore") == set(listed)


def _git(directory: Path, *arguments: str) -> str:
    command = ["git", "-C", str(directory), "-c", "core.excludesFile=/dev/null", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
