"""The step that asks who gives users what arrived: rows and files were proved where they lie, with the servers down."""

from __future__ import annotations

from dataclasses import dataclass

from project_migration.engine.step import Context, Outcome, View
from project_migration.engine.steps.preflight import platform_of
from project_migration.engine.steps.quiesce import ref_of
from project_migration.engine.steps.transfer import run_step
from project_migration.engine.world import Questions
from project_migration.model.document import Side
from project_migration.model.status import WorkloadState

ASK_SERVER = "ask_server"


@dataclass(frozen=True, slots=True)
class AskServer:
    """Asks the target's own server for what was proved, once it is back.

    After everything else is settled: what fails here is a server, and nothing on the target has to be put back for it.
    """

    id: str = ASK_SERVER
    phase: str = "AskingServer"
    weight: int = 2
    writes_target: bool = False
    needs_quiet: bool = False

    def ask(self, view: View) -> Questions:  # noqa: ARG002 - nothing is mounted but the workspace
        return Questions(namespace=True)

    def advance(self, context: Context) -> Outcome:
        works = platform_of(context).server_looks(context.spec)
        if not works:
            return Outcome.done(context.status, "no server has to be asked")
        down = [
            str(ref_of(workload))
            for workload in context.status.workloads
            if workload.side is Side.TARGET and workload.state is WorkloadState.LEFT_DOWN
        ]
        if down:
            names = ", ".join(down)
            return Outcome.done(context.status, f"the target's server is not asked: {names} stay down as asked for")
        return run_step(context, context.step(self.id), works)
