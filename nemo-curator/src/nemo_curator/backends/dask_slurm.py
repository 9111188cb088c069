"""Dask workers as Slurm jobs."""

from typing import Any

from dask_jobqueue import SLURMCluster


def start(options: dict[str, Any]) -> Any:
    """A cluster whose jobs have these options of ``dask_jobqueue.SLURMCluster`` (queue, cores, memory, walltime...)."""
    scheduler = {"dashboard_address": ":0", **options.get("scheduler_options", {})}  # 8787 may be taken
    return SLURMCluster(**{**options, "scheduler_options": scheduler})
