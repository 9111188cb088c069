"""What a workflow file says, as frozen dataclasses; the YAML key `with` is the field `settings`."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

Reference = str | list[str] | dict[str, str]
STAGE_NAME = r"[A-Za-z][A-Za-z0-9_-]*"
Name = Annotated[str, Meta(pattern=f"^{STAGE_NAME}$")]

STAGE_KEYS = ("use", "inputs", "needs", "with", "resources", "retries", "env")
TOP_KEYS = ("name", "params", "targets", "stages", "closing", "report", "run_dir", "executor")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What a stage occupies while it runs; None takes what its package recommends."""

    cpus: Annotated[int, Meta(ge=1)] | None = None
    memory_gib: Annotated[float, Meta(gt=0)] | None = None
    gpus: Annotated[int, Meta(ge=0)] | None = None


@dataclass(frozen=True, kw_only=True)
class StageSpec:
    """One stage: the command it uses, where its inputs come from, its settings, and how it is run."""

    use: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$")]
    inputs: dict[str, Reference] = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)
    settings: dict[str, Any] = field(default_factory=dict)
    resources: Resources = Resources()
    retries: Annotated[int, Meta(ge=0)] = 2
    env: dict[str, str | bool | int | float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ExecutorSpec:
    """Where stages run, and how much of it they may occupy together; None means all there is."""

    name: Literal["local"]
    cpus: Annotated[int, Meta(ge=1)] | None = None
    memory_gib: Annotated[float, Meta(gt=0)] | None = None
    gpus: Annotated[int, Meta(ge=0)] | None = None
    python: dict[str, str] = field(default_factory=dict)
    grace_s: Annotated[float, Meta(ge=0)] = 30.0


@dataclass(frozen=True, kw_only=True)
class Workflow:
    """A whole workflow file, composed, overridden and resolved."""

    name: Name
    stages: dict[str, StageSpec]
    executor: ExecutorSpec
    params: dict[str, Any] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)
    closing: str = ""
    report: bool = False
    run_dir: Path | None = None
