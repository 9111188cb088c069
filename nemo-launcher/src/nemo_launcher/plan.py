"""A frozen plan: what would run, in which order, with which settings. `plan.json` holds just this."""

from dataclasses import dataclass
from typing import Any

from .foundation.errors import ConfigError
from .foundation.settings import did_you_mean


@dataclass(frozen=True, kw_only=True)
class Input:
    """Where one input comes from: a stage of the workflow, or a path of the user's own (`stage` None)."""

    path: str
    stage: str | None
    kinds: tuple[str, ...]
    external: bool


@dataclass(frozen=True, kw_only=True)
class PlannedStage:
    """Everything needed to run a stage; `recipe_key` covers the command, its version and its settings, no paths."""

    name: str
    use: str
    package: str
    version: str
    argv: tuple[str, ...]
    config: dict[str, Any]
    inputs: dict[str, Input]
    needs: tuple[str, ...]
    output: str
    kind: str | None
    cpus: int
    memory_gib: float
    gpus: int
    retries: int
    env: dict[str, str]
    recipe_key: str


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """What stages may occupy together; None means all that the machine has."""

    cpus: int | None = None
    memory_gib: float | None = None
    gpus: int | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The stages of a run in topological order, and how the run is executed and closed."""

    name: str
    workflow: str
    run_dir: str
    cwd: str
    stages: tuple[PlannedStage, ...]
    left_out: tuple[str, ...]
    capacity: Capacity
    grace_s: float
    closing: str
    report: bool

    def stage(self, name: str) -> PlannedStage:
        """The stage called `name`; ConfigError with the nearest otherwise."""
        for stage in self.stages:
            if stage.name == name:
                return stage
        names = [stage.name for stage in self.stages]
        raise ConfigError(f"no stage {name!r}{did_you_mean(name, names)} (stages: {', '.join(names)})")
