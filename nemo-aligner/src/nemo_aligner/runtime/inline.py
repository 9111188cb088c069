"""The cluster that is this process: no library, no copies, calls are done when they return."""

from dataclasses import dataclass
from typing import Any

from .group import Group, Host, Plan


@dataclass(frozen=True)
class Done:
    """A future that has finished, with a value or the error that was raised."""

    value: Any = None
    error: Exception | None = None

    def result(self) -> Any:
        """The value; raises the error where there was one."""
        if self.error is not None:
            raise self.error
        return self.value


class InlineWorker:
    """Roles as plain objects."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def call(self, role: str, method: str, *arguments: Any) -> Done:
        """Run the call now."""
        try:
            return Done(self.host.call(role, method, *arguments))
        except Exception as error:  # noqa: BLE001 - the future hands it on to whoever asks for the result
            return Done(error=error)


class InlineCluster:
    """All workers of a plan in this process."""

    def __init__(self, plan: Plan) -> None:
        self.groups: dict[str, Group] = {}
        for workers in plan.values():
            placed = [InlineWorker(Host(workers.roles)) for _ in range(workers.count)]
            self.groups |= {role: Group(role, placed) for role in workers.roles}

    def put(self, value: Any) -> Any:
        """The value itself: everything is in one process."""
        return value

    def close(self) -> None:
        """Let go of the workers."""
        self.groups.clear()


def start(plan: Plan) -> InlineCluster:
    """Build every role of `plan` here."""
    return InlineCluster(plan)
