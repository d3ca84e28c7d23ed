"""The commands; see ``--help``."""

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tests.cluster.node import build, helm, images, lifecycle, prepare
from tests.cluster.node.enclosure import holder, inside
from tests.cluster.node.place import Place, chosen_by_environment
from tests.cluster.node.shell import NodeError, say, step
from tests.cluster.node.smoke import Smoke
from tests.cluster.node.tools import tools


def main() -> int:
    """Run one command."""
    options = _parser().parse_args()
    try:
        place = Place(options.name)
        return int(options.run(place, options) or 0)
    except NodeError as error:
        say(f"error: {error}")
        return 1


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--name", default="pmig", help="which node (default: %(default)s)")
    parser = argparse.ArgumentParser(
        prog="python -m tests.cluster.node", description="A real Kubernetes node for the cluster tests."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: object, help_text: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, parents=[shared], help=help_text, description=help_text)
        one.set_defaults(run=run)
        return one

    command("up", _up, "start the node unless it runs, and print the line that sets KUBECONFIG")
    command("down", _down, "remove the node and everything in it")
    command("status", _status, "tell how the node is; exit code 1 if it is not ready")
    command("build-image", _build, f"build the project's image, {build.IMAGE}, and give it to the node")
    command("smoke", _smoke, "try what the tests will ask of the cluster")
    command("prepare", _prepare, "make all programs and images that the tests need; keep those that have not changed")
    command("helm", _helm, "build helm unless it is there, and print where it is")
    command("exec", _exec, "run a command inside the node").add_argument("command", nargs=argparse.REMAINDER)
    command("load-image", _load, "give an image archive to the node").add_argument("file", type=Path)
    return parser


def _up(place: Place, _: argparse.Namespace) -> None:
    chosen = chosen_by_environment()
    if chosen:
        say("using the cluster that KUBECONFIG names")
    else:
        lifecycle.up(place)
    print(f"export KUBECONFIG={chosen or place.kubeconfig}")


def _down(place: Place, _: argparse.Namespace) -> None:
    lifecycle.down(place)


def _status(place: Place, _: argparse.Namespace) -> int:
    lines = lifecycle.status(place)
    print("\n".join(lines))
    return 0 if ": ready" in lines[0] else 1


def _build(place: Place, _: argparse.Namespace) -> None:
    for archive in build.ensure():
        images.load(place, archive)


def _prepare(_: Place, __: argparse.Namespace) -> None:
    if chosen_by_environment() is None:
        prepare.everything()


def _smoke(place: Place, _: argparse.Namespace) -> None:
    with step("smoke check"):
        Smoke(tools(place.name)).check()


def _helm(_: Place, __: argparse.Namespace) -> None:
    print(helm.ensure())


def _exec(place: Place, options: argparse.Namespace) -> int:
    """For a look around: ``exec -- iptables-save``, ``exec -- ctr images list``."""
    pid = holder(place)
    if pid is None:
        raise NodeError(f"node {place.name} is down")
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    engine = {"CONTAINERD_ADDRESS": str(place.containerd_socket), "CONTAINERD_NAMESPACE": "k8s.io"}
    return subprocess.run(inside(pid, *command), env={**os.environ, **engine}, check=False).returncode


def _load(place: Place, options: argparse.Namespace) -> None:
    images.load(place, options.file)


if __name__ == "__main__":
    sys.exit(main())
