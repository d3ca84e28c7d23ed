"""The program: ``project-migration``, and ``kubectl project-migration``, which is the same one."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from project_migration import __version__
from project_migration.cli.change import approve, cancel, forget, release, retry, rollback, undo
from project_migration.cli.expire import expire
from project_migration.cli.learn import PROGRAM, completion, crd, explain
from project_migration.cli.look import report, status, watch
from project_migration.cli.plan import plan
from project_migration.cli.run import run
from project_migration.cli.verify import verify


class InOrder(click.Group):
    """Commands in the order in which a person needs them, not the alphabet's."""

    def list_commands(self, _context: click.Context) -> list[str]:
        return list(self.commands)


@click.group(cls=InOrder, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """Move machine-learning projects from one platform installation to another, and prove that they arrived.

    \b
    On this machine:
      project-migration plan vision.yaml        what would happen
      project-migration run vision.yaml         do it
    In a cluster, where the operator does the work:
      kubectl apply -f vision.yaml
      kubectl project-migration watch vision -n ml
    """


LOOKING = (plan, run, status, watch, report, verify)
CHANGING = (approve, cancel, retry, rollback, undo, release, expire, forget)
LEARNING = (explain, crd, completion)

for _command in (*LOOKING, *CHANGING, *LEARNING):
    cli.add_command(_command)


def main() -> None:
    """The entry point of both names."""
    called = Path(sys.argv[0]).name
    cli(prog_name="kubectl project-migration" if called.startswith("kubectl-") else PROGRAM)


if __name__ == "__main__":
    main()
