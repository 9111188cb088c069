"""The cluster that is Ray: every worker an actor, handles in the object store (read without a copy on one node)."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

import ray
import torch
from ray.exceptions import RayActorError, RayTaskError

from nemo_core.foundation.errors import RetryableError

from .group import Group, Host, Plan, Role, Workers


@dataclass(frozen=True)
class RayFuture:
    """A call on an actor."""

    reference: Any
    what: str

    def result(self) -> Any:
        """Wait; raises the role's own error, or RetryableError where its worker died for good."""
        try:
            return ray.get(self.reference)
        except RayTaskError as error:
            raise (error.cause if isinstance(error.cause, Exception) else error) from None
        except RayActorError as error:
            raise RetryableError(
                f"the worker of {self.what} died ({' '.join(str(error).split())[:300]}); "
                "run the same command again: it continues from the last saved state"
            ) from None


@dataclass(frozen=True)
class RayWorker:
    """The driver's side of an actor."""

    actor: Any

    def call(self, role: str, method: str, *arguments: Any) -> RayFuture:
        """Send the call; it runs in the actor's process."""
        return RayFuture(self.actor.call.remote(role, method, *arguments), f"{role}.{method}")


class RayHost(Host):
    """A host whose process computes with as many threads as the driver, so that numbers agree with ``inline``."""

    def __init__(self, roles: dict[str, Role], threads: int, search_path: list[str]) -> None:
        torch.set_num_threads(threads)
        sys.path.extend(path for path in search_path if path not in sys.path)
        super().__init__(roles)


class RayCluster:
    """The actors of a plan; starts Ray on this machine unless a cluster is already joined or named by RAY_ADDRESS."""

    def __init__(self, plan: Plan) -> None:
        self.owns_ray = not ray.is_initialized()
        if self.owns_ray:
            join_or_start()
        self.actors: list[Any] = []
        self.groups: dict[str, Group] = {}
        for workers in plan.values():
            placed = [RayWorker(self._start(workers)) for _ in range(workers.count)]
            self.groups |= {role: Group(role, placed) for role in workers.roles}

    def _start(self, workers: Workers) -> Any:
        actor = ray.remote(RayHost).options(
            num_cpus=0.01, max_restarts=workers.restarts, max_task_retries=workers.restarts
        )
        self.actors.append(actor.remote(dict(workers.roles), torch.get_num_threads(), [str(Path.cwd())]))
        return self.actors[-1]

    def put(self, value: Any) -> Any:
        """Store `value` once per node; actors map numpy arrays in it without a copy."""
        return ray.put(value)

    def close(self) -> None:
        """Stop the actors, and Ray where this cluster started it."""
        for actor in self.actors:
            ray.kill(actor)
        self.groups.clear()
        if self.owns_ray:
            ray.shutdown()


def join_or_start() -> None:
    """Join the cluster that RAY_ADDRESS names, or start one on the loopback address without a dashboard."""
    quiet: dict[str, Any] = {"logging_level": "error", "log_to_driver": True}
    if os.environ.get("RAY_ADDRESS"):
        ray.init(address=os.environ["RAY_ADDRESS"], **quiet)
        return
    ray.init(
        address="local",
        num_cpus=os.cpu_count(),
        include_dashboard=False,
        object_store_memory=256 * 2**20,
        _node_ip_address="127.0.0.1",
        **quiet,
    )


def start(plan: Plan) -> RayCluster:
    """Start an actor per worker of `plan`."""
    return RayCluster(plan)
