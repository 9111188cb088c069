"""What the page shows, read from a run folder once; sections only ever see these values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["done", "reused", "running", "failed", "blocked", "cancelled", "waiting", "unknown"]


@dataclass(frozen=True, kw_only=True)
class Artifact:
    """A finished artifact as its manifest describes it; `path` is relative to the run folder."""

    stage: str
    path: str
    kind: str
    digest: str
    created: str
    bytes: int
    num_files: int
    producer: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    stats: Mapping[str, Any] = field(default_factory=dict)
    pages: tuple[str, ...] = ()
    """HTML files inside it, relative to the run folder."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage: what it runs, what it needs, how it went; `spans` are its attempts in seconds from the run's start."""

    name: str
    use: str = ""
    needs: tuple[str, ...] = ()
    state: State = "unknown"
    spans: tuple[tuple[float, float], ...] = ()
    seconds: float | None = None
    attempts: int = 1
    exit_code: int | None = None
    message: str = ""
    log_path: str = ""
    log_tail: str = ""
    artifact: Artifact | None = None


@dataclass(frozen=True, kw_only=True)
class Example:
    """A document that was dropped, in short."""

    title: str
    excerpt: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class Reason:
    """Why documents were dropped, how many, and a few of them."""

    name: str
    documents: int
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, kw_only=True)
class FunnelStep:
    """How many documents were left after a step, and how many it dropped for which reason."""

    name: str
    documents: int
    dropped: Mapping[str, int]
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Curation:
    """Where the documents of one stage went."""

    stage: str
    documents_in: int | None
    documents_out: int | None
    bytes_in: int | None
    bytes_out: int | None
    steps: tuple[FunnelStep, ...] = ()
    reasons: tuple[Reason, ...] = ()
    languages: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, kw_only=True)
class Series:
    """One metric over training steps; values that are no finite number are counted, not kept."""

    name: str
    points: tuple[tuple[float, float], ...]
    not_finite: int = 0


@dataclass(frozen=True, kw_only=True)
class Learning:
    """A training stage: figures on held-out data before and after, and its curves."""

    stage: str
    objective: str
    steps: int | None = None
    tokens: int | None = None
    parameters: int | None = None
    seconds: float | None = None
    before: Mapping[str, float] = field(default_factory=dict)
    after: Mapping[str, float] = field(default_factory=dict)
    curves: tuple[Series, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MetricRow:
    """One metric of an evaluation, a value per model (None where it was not measured)."""

    name: str
    unit: str
    better: str
    values: tuple[float | None, ...]
    num_items: int | None = None


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One prompt and each model's answer (None where a model has none); `held_out` is None where that is unknown."""

    prompt: str
    reference: str
    answers: tuple[str | None, ...]
    held_out: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Models side by side."""

    stage: str
    models: tuple[str, ...]
    metrics: tuple[MetricRow, ...] = ()
    samples: tuple[Sample, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """A question that a served model was asked, and its answer."""

    question: str
    answer: str
    model: str
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Run:
    """A workflow run as far as its folder tells; `missing` says in sentences what could not be read."""

    name: str
    folder: str
    state: State
    started: str = ""
    finished: str = ""
    seconds: float | None = None
    provenance: tuple[tuple[str, str], ...] = ()
    stages: tuple[Stage, ...] = ()
    curations: tuple[Curation, ...] = ()
    learnings: tuple[Learning, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()
    exchanges: tuple[Exchange, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def artifacts(self) -> tuple[Artifact, ...]:
        """The artifacts in stage order."""
        return tuple(stage.artifact for stage in self.stages if stage.artifact)
