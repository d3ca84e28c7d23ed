"""A real Kubernetes node for the cluster tests, on a machine without a container engine.

``python -m tests.cluster.node up`` builds what is missing (the first time takes some ten
minutes, later runs some seconds), starts one node and prints the line that points kubectl at it.
Nothing is downloaded but packages of Debian and modules of Go, and nothing of it runs outside
namespaces of its own, so that ``down`` is the end of one process and leaves the machine as it was.

Tests ask :func:`cluster` for the cluster and for the programs to use with it, or :func:`tools` if
it has to be up already.
"""

from tests.cluster.node.tools import Tools, cluster, load_mlflow, load_postgres, tools

__all__ = ["Tools", "cluster", "load_mlflow", "load_postgres", "tools"]
