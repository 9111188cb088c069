"""Dask workers as pods."""

from typing import Any

from dask_kubernetes.operator import KubeCluster


def start(options: dict[str, Any]) -> Any:
    """A cluster whose pods have these options of ``KubeCluster`` (name, image, resources...)."""
    return KubeCluster(**options)
