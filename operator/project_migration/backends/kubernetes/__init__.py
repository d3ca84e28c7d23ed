"""The cluster as a backend. This package is the only importer of the Kubernetes client."""

from project_migration.backends.kubernetes.backend import KubernetesBackend

__all__ = ["KubernetesBackend"]
