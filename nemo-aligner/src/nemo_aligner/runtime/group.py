"""One interface to roles wherever they run: a plan places roles on workers, a `Group` calls a role on its workers.

Algorithm code sees groups and futures only. ``cluster: inline`` keeps every worker in this process and returns
finished futures; ``cluster: ray`` makes every worker a Ray actor. Roles placed on the same worker share its process.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar

from nemo_core.foundation.backend import Backend, load_backend

Result = TypeVar("Result", covariant=True)
ClusterName = Literal["inline", "ray"]

CLUSTERS = {
    "inline": Backend(module=f"{__package__}.inline"),
    "ray": Backend(module=f"{__package__}.ray", extra="ray"),
}


class Future(Protocol[Result]):
    """The outcome of a call that may still be under way."""

    def result(self) -> Result:
        """Wait for the outcome; an error raised by the role is raised here."""
        ...


@dataclass(frozen=True)
class Role:
    """How a worker builds a role: a class (or function) and its arguments, which travel to the worker."""

    build: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Workers:
    """`count` equal workers, each holding every one of `roles`.

    `restarts` says how often a dead worker is started again; its roles must then be stateless (whatever a call needs
    comes with the call), since a call under way is repeated on the new worker.
    """

    roles: Mapping[str, Role]
    count: int = 1
    restarts: int = 0


Plan = Mapping[str, Workers]


class Worker(Protocol):
    """A place where roles live."""

    def call(self, role: str, method: str, *arguments: Any) -> Future[Any]:
        """Start ``role.method(*arguments)``."""
        ...


@dataclass(frozen=True)
class Group:
    """One role on all the workers that hold it."""

    role: str
    workers: Sequence[Worker]

    def one(self, method: str, *arguments: Any) -> Future[Any]:
        """Call the first worker's role."""
        return self.workers[0].call(self.role, method, *arguments)

    def all(self, method: str, *arguments: Any) -> list[Future[Any]]:
        """Call the role on every worker with the same arguments."""
        return [worker.call(self.role, method, *arguments) for worker in self.workers]

    def shard(self, method: str, items: Sequence[Any], *arguments: Any, sizes: Sequence[int]) -> list[Any]:
        """Call the role with a share of `items` on each worker and put the results together in the items' order.

        Shares are consecutive and about equal in their sum of `sizes` (token counts). The role returns one result
        per item.
        """
        shares = split_by_size(sizes, len(self.workers))
        futures = [
            worker.call(self.role, method, list(items[share]), *arguments)
            for worker, share in zip(self.workers, shares)
            if share.start < share.stop
        ]
        return [result for future in futures for result in future.result()]


class Cluster(Protocol):
    """The running workers of a plan."""

    groups: Mapping[str, Group]

    def put(self, value: Any) -> Any:
        """A handle to `value` that is cheap to pass to many workers; a role receives the value itself."""
        ...

    def close(self) -> None:
        """Stop the workers."""
        ...


@contextlib.contextmanager
def open_cluster(name: str, plan: Plan) -> Iterator[Cluster]:
    """Start the workers of `plan` on the cluster called `name` and stop them at the end of the block."""
    cluster: Cluster = load_backend("cluster", name, CLUSTERS, package="nemo-aligner").start(plan)
    try:
        yield cluster
    finally:
        cluster.close()


def split_by_size(sizes: Sequence[int], parts: int) -> list[slice]:
    """Cut a sequence into `parts` consecutive slices of about equal total size; some are empty if items are few."""
    total, bounds, running = sum(sizes), [0], 0
    for index, size in enumerate(sizes):
        running += size
        while len(bounds) < parts and running * parts >= total * len(bounds):
            bounds.append(index + 1)
    bounds += [len(sizes)] * (parts + 1 - len(bounds))
    return [slice(start, stop) for start, stop in itertools.pairwise(bounds)]


class Host:
    """A worker's own side: builds each role at its first call, so that an error in building reaches the caller."""

    def __init__(self, roles: Mapping[str, Role]) -> None:
        self.plans = dict(roles)
        self.roles: dict[str, Any] = {}

    def call(self, role: str, method: str, *arguments: Any) -> Any:
        """``role.method(*arguments)``."""
        if role not in self.roles:
            self.roles[role] = self.plans[role].build(*self.plans[role].arguments)
        return getattr(self.roles[role], method)(*arguments)
