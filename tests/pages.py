"""Commands out of a page of the documentation: what a reader would type, section by section, and what he is shown.

A block ``console`` holds lines that begin with ``$`` (a backslash goes on in the next one), and under each of them
parts of what it prints, in order. A command whose line ends with ``# exit N`` ends so; all others end with 0. A block
``yaml`` whose first line is ``# NAME.yaml`` is that file.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
OPERATIONS = ROOT / "docs" / "operations.md"

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_ANY_BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_EXIT = re.compile(r"\s+# exit (\d+)$")


@dataclass(frozen=True)
class Command:
    argv: tuple[str, ...]
    exit_code: int
    shown: tuple[str, ...]
    """Parts of what it prints."""

    def __str__(self) -> str:
        return shlex.join(self.argv)

    @property
    def in_a_cluster(self) -> bool:
        return self.argv[0] == "kubectl"


def sections(page: Path, *, in_a_cluster: bool) -> dict[str, tuple[Command, ...]]:
    """Headings, and the commands below each of them that are meant for a cluster, or for one machine."""
    found = {}
    text = _ANY_BLOCK.sub(lambda block: block[0] if block[0].startswith("```console\n") else "", page.read_text())
    for part in re.split(r"^#+ ", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        commands = tuple(command for command in _commands(body) if command.in_a_cluster is in_a_cluster)
        if commands:
            found[title] = commands
    return found


def file_in(page: Path, name: str) -> str:
    """The text of a file that the page shows."""
    found = re.search(rf"^```yaml\n(# {re.escape(name)}\n.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, f"{page.name} shows no file {name}"
    return found[1]


def assert_shown(command: Command, printed: str) -> None:
    """What the page shows of a command's words is among them, in that order."""
    rest = " ".join(printed.split())
    for part in command.shown:
        words = " ".join(part.split())
        assert words in rest, f"{command}: {words!r} is not in {printed!r}"
        rest = rest.partition(words)[2]


def _commands(text: str) -> Iterator[Command]:
    for block in _BLOCK.findall(text):
        assert block.startswith("$ "), f"a block begins with a command: {block!r}"
        for one in re.split(r"^\$ ", block.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
            line, *shown = one.rstrip("\n").split("\n")
            ends = _EXIT.search(line)
            yield Command(
                argv=tuple(shlex.split(_EXIT.sub("", line))),
                exit_code=int(ends[1]) if ends else 0,
                shown=tuple(shown),
            )
