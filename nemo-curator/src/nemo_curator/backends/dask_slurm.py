"""Dask workers as Slurm jobs."""

from typing import Any

from dask_jobqueue import SLURMCluster


def start(options: dict[str, Any]) -> Any:
    """A cluster whose jobs have these options of ``dask_jobqueue.SLURMCluster`` (queue, cores, memory, walltime...)."""
    return SLURMCluster(**options)
