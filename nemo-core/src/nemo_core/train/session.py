"""What pretraining and fine-tuning have in common around the loop: the draft, the parts, the figures."""

import contextlib
import dataclasses
import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch.optim import Optimizer

from ..checkpoint.folder import copy_tokenizer
from ..checkpoint.state_store import saved_steps
from ..data.fingerprint import NOTE as DATA_NOTE
from ..data.fingerprint import check_unchanged, note_files
from ..foundation import artifact
from ..foundation.artifact import Draft
from ..foundation.errors import ConfigError
from ..foundation.settings import to_plain
from ..foundation.work import what_differs, work_of
from ..model.decoder import Decoder
from ..parallel.model import ParallelModel
from ..parallel.settings import ParallelSettings
from .care import EmaSettings
from .ema import Ema
from .loop import Account, Parts, Plan
from .optimizer import build_adafactor, build_muon, build_optimizer
from .schedule import learning_rate_at
from .settings import OptimizerSettings, PretrainSettings, ScheduleSettings, TuningSettings
from .world import World

# Settings that leave the weights as they are (but for the order of sums): a run continues when they change.
INCIDENTAL = frozenset(
    {
        "implementation",
        "parallel",
        "state",
        "device",
        "threads",
        "micro_batch_size",
        "log_every",
        "save_every",
        "save_every_s",
        "max_bad_steps",
        "tensorboard",
        "trackers",
    }
)


class TaskSettings(Protocol):
    """Where a training command writes."""

    @property
    def output(self) -> Path:
        """Folder of the checkpoint to make."""

    @property
    def overwrite(self) -> bool:
        """Whether one that exists may be replaced."""


@dataclass(frozen=True)
class TrainResult:
    """What a training command prints."""

    output: str
    parameters: int
    steps: int
    tokens: int
    before: dict[str, float]
    after: dict[str, float]
    seconds: float
    skipped_steps: int


def keep_other_runs(settings: TaskSettings, inputs: Mapping[str, Path], kind: str) -> None:
    """Raise ConfigError where the output's partial folder holds the state of a run with other settings or inputs.

    It would be emptied, and with it what may be weeks of training.
    """
    partial = artifact.partial_of(settings.output)
    steps = saved_steps(partial / "state")
    if not steps:
        return
    config = artifact.without(json.loads(json.dumps(to_plain(settings), default=str)), INCIDENTAL)
    work = work_of(kind, config, artifact.describe_inputs(inputs))
    if artifact.partial_identity(partial) != artifact.digest_of(work):
        differing = "; ".join(what_differs(partial / artifact.PROGRESS_NOTE, work))
        raise ConfigError(
            f"{partial}: holds the state after step {steps[-1]} of a run with other settings or inputs "
            f"({differing or 'its note does not tell which'}); give the settings it was started with to continue it, "
            "name another output, or delete that folder to begin again"
        )


@contextlib.contextmanager
def shared_draft(
    settings: TaskSettings,
    inputs: Mapping[str, Path],
    world: World,
    *,
    files: Sequence[Path] = (),
    kind: str = "checkpoint",
) -> Iterator[Draft]:
    """The draft of an artifact of `kind` that all processes work in; the first process makes and publishes it.

    Raises InputError where a former run was begun here and one of the data `files` is not what it was then.
    """
    if not world.is_first:
        yield Draft(path=Path(world.from_first("")), resumed=False)
        world.wait()
        return
    check_unchanged(artifact.partial_of(settings.output), files)
    keep_other_runs(settings, inputs, kind)
    with artifact.create(
        settings.output,
        kind=kind,
        package="nemo-core",
        config=to_plain(settings),
        inputs=inputs,
        overwrite=settings.overwrite,
        incidental=INCIDENTAL,
    ) as draft:
        note_files(draft.path, files)
        world.from_first(str(draft.path))
        yield draft
        (draft.path / DATA_NOTE).unlink(missing_ok=True)
        world.wait()


def check_average(ema: EmaSettings, method: str) -> None:
    """Raise ConfigError where the average of a model is wanted of which an adapter alone learns."""
    if ema.decay and method != "full":
        raise ConfigError(f"ema.decay={ema.decay} averages whole models; set it to 0, or use method=full")


def only_data_parallel(parallel: ParallelSettings, what: str) -> None:
    """Raise ConfigError for a layout in which models of the kind `what` are not trained."""
    for name in ("fsdp", "tensor", "pipeline", "context", "expert"):
        degree = getattr(parallel, name)
        if degree > 1:
            raise ConfigError(f"parallel.{name}={degree}: {what} are trained on rows split by parallel.data only")


def make_optimizer(model: Decoder, learning_rate: float, settings: OptimizerSettings) -> Optimizer:
    """The optimizer of `settings`."""
    betas = (settings.beta1, settings.beta2)
    build = {"adamw": build_optimizer, "muon": build_muon, "adafactor": build_adafactor}[settings.kind]
    return build(model, learning_rate=learning_rate, weight_decay=settings.weight_decay, betas=betas)


def make_schedule(settings: ScheduleSettings, *, peak: float, steps: int) -> Callable[[int], float]:
    """The learning rate as a function of the step."""
    return functools.partial(
        learning_rate_at,
        peak=peak,
        warmup_steps=settings.warmup_steps or int(settings.warmup_share * steps),
        total_steps=steps,
        kind=settings.kind,
        minimum_ratio=settings.minimum_ratio,
        decay_share=settings.decay_share,
        decay_shape=settings.decay_shape,
    )


def make_plan(settings: PretrainSettings | TuningSettings, *, label: str, steps: int) -> Plan:
    """How the loop goes about it."""
    return Plan(
        label=label,
        steps=steps,
        micro_batch_size=settings.micro_batch_size,
        max_grad_norm=settings.optimizer.max_grad_norm,
        run=settings,
    )


def make_ema(laid_out: ParallelModel, settings: EmaSettings) -> Ema | None:
    """The running average of the weights, where one is wanted."""
    return laid_out.average(settings.decay) if settings.decay else None


def save_models(parts: Parts, folder: Path, *, tokenizer: Path) -> None:
    """The trained model and, where it is kept, that of the averaged weights in ema/, each a folder of its own."""
    save_whole(parts, folder, tokenizer=tokenizer)
    save_average(parts, folder, tokenizer=tokenizer)


def save_average(parts: Parts, folder: Path, *, tokenizer: Path) -> None:
    """The model with averaged weights, where they are kept."""
    if parts.ema is not None:
        with parts.ema.in_place():
            save_whole(parts, folder / "ema", tokenizer=tokenizer)


def save_whole(parts: Parts, folder: Path, *, tokenizer: Path) -> None:
    """The model of all processes, written by the first one, and the tokenizer beside it."""
    parts.laid_out.save(folder)
    if parts.world.is_first:
        copy_tokenizer(tokenizer, folder)


def figures(objective: str, model: Decoder, account: Account) -> dict[str, Any]:
    """The stats of a checkpoint."""
    return {
        "objective": objective,
        "parameters": model.config.num_parameters,
        "steps": account.step,
        "tokens": account.tokens,
        "before": account.before,
        "after": account.after,
        "seconds": round(account.seconds, 3),
        "skipped_steps": account.skipped,
        "rollbacks": account.rollbacks,
        "stopped_early": account.stopped_early,
        "mfu": account.mfu,
        **({} if account.restored_step is None else {"restored_step": account.restored_step}),
    }


def summary(output: Path, stats: Mapping[str, Any]) -> TrainResult:
    """What is printed of the stats."""
    names = {field.name for field in dataclasses.fields(TrainResult)}
    return TrainResult(output=str(output), **{name: value for name, value in stats.items() if name in names})
