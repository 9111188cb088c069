"""Where a run is done: on processes of this machine or on a Dask cluster, and within how much memory."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from .foundation.errors import ConfigError

if TYPE_CHECKING:
    from .shards.pool import Spread

PROCESS_BYTES = 400_000_000
"""What a process takes: libraries, a batch of documents and what is computed of it."""
UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 1 << 10, "MI": 1 << 20, "GI": 1 << 30}


@dataclass(frozen=True, kw_only=True)
class DaskCluster:
    """Which Dask cluster `engine=dask` runs on."""

    cluster: Annotated[
        Literal["local", "slurm", "kubernetes"], Meta(description="kind of cluster to start, without an `address`")
    ] = "local"
    address: Annotated[str, Meta(description="scheduler that runs already, as tcp://host:8786")] = ""
    options: Annotated[
        dict[str, Any], Meta(description="options of LocalCluster, SLURMCluster or KubeCluster, by their names there")
    ] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Placed:
    """Settings of every command that works through shards."""

    workers: Annotated[int, Meta(ge=0, description="processes; 0 is one per core")] = 0
    memory_limit: Annotated[str, Meta(description="memory of all processes, as 6GiB; empty: no limit")] = ""
    engine: Annotated[Literal["local", "dask"], Meta(description="processes of this machine, or a Dask cluster")] = (
        "local"
    )
    dask: DaskCluster = field(default_factory=DaskCluster)

    def placement(self) -> "Placement":
        """The settings resolved on this machine. Raises ConfigError where the memory is too little."""
        from .shards.pool import num_workers

        workers = num_workers(self.workers)
        if not self.memory_limit:
            return Placement(workers=workers, memory_bytes=0, engine=self.engine, dask=self.dask)
        limit = num_bytes(self.memory_limit)
        if limit < 2 * PROCESS_BYTES:
            least = f"{2 * PROCESS_BYTES // 10**6}MB"
            raise ConfigError(f"memory_limit={self.memory_limit} is too little to work in; {least} is the least")
        workers = min(workers, max(1, limit // PROCESS_BYTES - 1)) if self.engine == "local" else workers
        processes = workers + 1 if workers > 1 else 1
        spare = limit - (processes if self.engine == "local" else 1) * PROCESS_BYTES
        return Placement(
            workers=workers, memory_bytes=max(spare, PROCESS_BYTES // 4), engine=self.engine, dask=self.dask
        )


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where the shards go; `memory_bytes` is what the comparison of all documents may sort in (0: no limit)."""

    workers: int
    memory_bytes: int
    engine: Literal["local", "dask"] = "local"
    dask: DaskCluster = field(default_factory=DaskCluster)

    @contextmanager
    def open(self) -> Iterator["Spread"]:
        """Workers, until the block ends."""
        if self.engine == "dask":
            from .backends import scheduler

            with scheduler("dask").connect(self.dask, workers=self.workers) as cluster:
                yield cluster
        else:
            from .shards.pool import Pool

            with Pool(self.workers) as pool:
                yield pool


def num_bytes(text: str) -> int:
    """The number of bytes that a size such as 6GiB, 500MB or 1e9 names. Raises ConfigError for any other text."""
    found = re.fullmatch(r"\s*([0-9.]+(?:e[0-9]+)?)\s*([KMG]I?)?B?\s*", text, re.IGNORECASE)
    try:
        return int(float(found[1]) * UNITS[(found[2] or "").upper()])  # type: ignore[index]
    except (TypeError, ValueError):
        raise ConfigError(f"memory_limit={text!r} is no size; write it as 6GiB or 500MB") from None
