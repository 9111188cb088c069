"""Calls as futures of a Dask cluster: one that runs already, or one started for the run and ended with it.

All workers have to see the input and the output under the same paths. A call whose worker dies is made again on
another one; every call leaves whole files or none.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from distributed import Client, LocalCluster, as_completed
from distributed.scheduler import KilledWorker

from ..foundation.command import resolve
from ..foundation.errors import ConfigError
from ..placement import DaskCluster
from ..shards.pool import TRIES, Call, WorkerDiedError
from . import cluster as cluster_backend

PATIENCE = "10s"
FREE_PORT = "127.0.0.1:0"
"""Of the dashboard; Dask's own choice may be taken, and even None tries that one."""


class DaskSpread:
    """Calls spread over the workers of a cluster."""

    def __init__(self, client: "Client") -> None:
        self.client = client

    def run(self, target: str, calls: Sequence[Call]) -> Iterator[Any]:
        """Results of all calls, as they come."""
        futures = [self.client.submit(call, target, dict(each), pure=False, retries=TRIES) for each in calls]
        try:
            for future in as_completed(futures):
                yield future.result()
        except KilledWorker as error:
            raise WorkerDiedError(f"{error}; run the same command again to continue") from error
        finally:
            self.client.cancel(futures)


def call(target: str, arguments: Call) -> Any:
    """The call, on a worker."""
    return resolve(target)(**arguments)


@contextmanager
def connect(settings: DaskCluster, *, workers: int) -> Iterator[DaskSpread]:
    """The cluster of `settings`, until the block ends. Raises ConfigError where no scheduler answers."""
    if settings.address:
        with connected(settings.address) as client:
            yield DaskSpread(client)
        return
    with start(settings, workers=workers) as cluster, Client(cluster) as client:
        yield DaskSpread(client)


def connected(address: str) -> "Client":
    """A client of the scheduler at `address`."""
    try:
        return Client(address, timeout=PATIENCE)
    except (OSError, ValueError) as error:
        raise ConfigError(f"dask.address={address}: no Dask scheduler answers there ({error})") from error


def start(settings: DaskCluster, *, workers: int) -> Any:
    """A cluster of its own for the run."""
    if settings.cluster == "local":
        options = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": FREE_PORT, **settings.options}
        return LocalCluster(**options)
    cluster = cluster_backend(settings.cluster).start(settings.options)
    cluster.scale(workers)
    return cluster
