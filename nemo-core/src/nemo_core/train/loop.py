"""The training loop: data, objective, optimizer and schedule are handed in; it learns, looks, logs and saves."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from torch.optim import Optimizer

from ..checkpoint.state import restore_rng, rng_tensors
from ..checkpoint.state_names import names_of
from ..checkpoint.state_settings import StateSettings
from ..checkpoint.state_step import SavedState
from ..checkpoint.state_store import FIGURES, NAMES, PLAN
from ..data.ahead import made_ahead
from ..data.batch import Batch
from ..data.sampler import mix
from ..foundation.errors import ArtifactError, ConfigError
from ..foundation.progress import Progress
from ..foundation.settings import to_plain
from ..model.decoder import Decoder
from ..parallel.mesh import Layout
from ..parallel.model import ParallelModel
from ..parallel.plan import ParallelPlan
from .balance import Balanced, moved_biases
from .device import Compute
from .early_stop import Patience
from .efficiency import Efficiency
from .ema import Ema
from .guard import GoodMoment, Guard, RecentLoss
from .metrics import MetricsLog
from .objective import Objective
from .optimizer import set_learning_rate
from .recovery import BadSteps, StopRequest
from .saving import Saver
from .settings import RunSettings
from .take_up import Beginning
from .world import ALONE, World


class Data(Protocol):
    """A source of global batches."""

    def batch(self, step: int) -> Batch:
        """What `step` (from 0) learns from: a pure function of the step, so nothing needs to be remembered."""


@dataclass(frozen=True)
class Parts:
    """What a run is put together from. `validate` gives held-out figures by metric name."""

    model: Decoder
    data: Data
    objective: Objective
    optimizer: Optimizer
    schedule: Callable[[int], float]
    validate: Callable[[], Mapping[str, float]]
    compute: Compute
    world: World = ALONE
    ema: Ema | None = None
    parallel: ParallelModel | None = None
    flops_per_token: Callable[[int], float] | None = None  # where it is not what the config says
    beginning: Beginning | None = None  # of another run

    @property
    def laid_out(self) -> ParallelModel:
        """How the model lies over the processes: whole in each of them unless `parallel` says otherwise."""
        if self.parallel is not None:
            return self.parallel
        return ParallelModel(Layout(ParallelPlan(data=self.world.size), self.world), self.model, self.model)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long a run goes on, what it calls itself, and how rows are split."""

    label: str
    steps: int
    micro_batch_size: int
    max_grad_norm: float
    run: RunSettings


@dataclass
class Account:
    """What has happened so far; saved with the state."""

    begun: bool = False
    step: int = 0
    tokens: int = 0
    skipped: int = 0
    skipped_in_a_row: int = 0
    seconds: float = 0.0
    loss: float = 0.0
    recent: dict[str, Any] = field(default_factory=dict)
    patience: dict[str, Any] = field(default_factory=dict)
    rollbacks: int = 0
    stopped_early: bool = False
    restored_step: int | None = None
    mfu: float = 0.0
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StepResult:
    """Mean loss of a step's targets, the length of its gradient before it was shortened, and the rows' size."""

    loss: float
    grad_norm: float
    tokens: int
    row_tokens: int
    more: dict[str, float] = field(default_factory=dict)


def train(parts: Parts, plan: Plan, folder: Path, *, begin: Callable[[], dict[str, Any]] | None = None) -> Account:
    """Run all steps, continuing from the state in `folder`/state where there is one; returns the account.

    `begin` is called before the first step, once however often the run is resumed; what it returns is kept in the
    account's notes. Raises Preempted or KeyboardInterrupt once the state is saved, when asked to stop, and Diverged
    when losses stay infinite.
    """
    names = names_of(parts.model)
    saver = Saver(folder / "state", kept_states(plan.run), parts.world, select=parts.laid_out.select, names=names)
    torch.manual_seed(mix(plan.run.seed) ^ parts.world.generator)  # for dropout; a saved state brings its own
    account = restore(parts, saver)
    with StopRequest() as stop, Progress(plan.label, total=plan.steps, unit="step") as progress:
        loop = Loop(parts, plan, account, saver=saver, stop=stop, progress=progress)
        progress.advance(account.step)
        if not account.begun:
            account.notes = begin() if begin else {}
            account.before = measured(parts)
            check_measured(plan.run, account.before)
            account.begun = True
            loop.save(account.before)
        is_over = account.step >= plan.steps or account.stopped_early
        looks = int(account.stopped_early) if is_over else None
        with MetricsLogOfFirst(parts.world, folder, account.step, plan.run, looks=looks) as log:
            loop.run(log)
    return account


def kept_states(run: RunSettings) -> StateSettings:
    """Which states are kept: the best one where the run goes back to it in the end."""
    state = run.state
    return replace(state, keep_best=max(1, state.keep_best)) if run.early_stop.restore_best else state


def check_measured(run: RunSettings, figures: Mapping[str, float]) -> None:
    """Raise ConfigError where the best weights are wanted, but nothing is measured by which to tell them."""
    metric = run.state.best_metric
    if run.early_stop.restore_best and metric not in {"loss", *figures}:
        raise ConfigError(
            f"early_stop.restore_best=true, but there is no figure state.best_metric={metric} (measured: "
            f"{', '.join(figures) or 'nothing, since nothing is held out'}); hold data out, or leave restore_best out"
        )


class Loop:
    """One run in progress."""

    def __init__(
        self, parts: Parts, plan: Plan, account: Account, *, saver: Saver, stop: StopRequest, progress: Progress
    ) -> None:
        self.parts, self.plan, self.account, self.saver = parts, plan, account, saver
        self.stop, self.progress = stop, progress
        bad = BadSteps(max_in_a_row=plan.run.max_bad_steps, total=account.skipped, in_a_row=account.skipped_in_a_row)
        moment = GoodMoment(parts.model, parts.optimizer)
        self.guard = Guard(plan.run.guard, bad, RecentLoss(**account.recent), moment)
        self.guard.rollbacks = account.rollbacks
        self.patience = Patience(**account.patience)
        flops = parts.flops_per_token or parts.model.config.flops_per_token
        self.efficiency = Efficiency(flops, parts.compute, num_processes=parts.world.size)
        self.batch_of: Callable[[int], Batch] = parts.data.batch
        self.saved_at = time.monotonic()
        self.resumed_at, self.resumed_seconds = time.monotonic(), account.seconds

    def run(self, log: "MetricsLogOfFirst") -> None:
        """All remaining steps, the last measurement, and the final state."""
        if not self.account.step:
            log.log(0, tokens=0, time_s=0.0, **self.account.before)
        with made_ahead(self.parts.data.batch, device=self.parts.compute.device.type) as self.batch_of:
            while self.account.step < self.plan.steps and not self.account.stopped_early:
                self.one_step(log)
                self.save_if_due()
        self.account.after = measured(self.parts)
        log.log(self.account.step, **self.figures(), **self.account.after)
        self.save(self.account.after)
        self.saver.finish()
        if self.plan.run.early_stop.restore_best:
            self.go_back_to_best()

    def go_back_to_best(self) -> None:
        """Take the weights of the best saved measurement. Raises ArtifactError where none could be saved."""
        best = self.saver.best()
        if best is None:
            raise ArtifactError(f"{self.saver.root}: no state with a measurement could be saved to go back to")
        step = int(best.facts["step"])
        if step != self.account.step:
            put_back(self.parts, best)
            self.account.after, self.account.restored_step = measured(self.parts), step

    def one_step(self, log: "MetricsLogOfFirst") -> None:
        """Learn from one global batch and write down what is due."""
        started, index = time.monotonic(), self.account.step
        self.looked: dict[str, float] = {}
        rate = self.parts.schedule(index)
        batch = self.batch_of(index)
        waited = time.monotonic() - started
        result = learn(self.parts, self.plan, batch, rate=rate, skip=self.is_bad)
        self.guard.after_step(index + 1)
        if self.parts.ema is not None and not self.guard.bad.in_a_row:
            self.parts.ema.update()
        self.count(result)
        step, run = self.account.step, self.plan.run
        if step % run.log_every == 0 or step == 1 or step == self.plan.steps:
            spent = self.efficiency.figures(result.tokens, result.row_tokens, time.monotonic() - started)
            self.account.mfu = spent.get("mfu", 0.0)
            log.log(
                step,
                **self.figures(),
                loss=result.loss,
                learning_rate=rate,
                grad_norm=result.grad_norm,
                data_wait_s=round(waited, 5),
                **result.more,
                **spent,
            )
        if run.validation_every and step % run.validation_every == 0 and step < self.plan.steps:
            self.look(log)
        self.progress.advance(note=f"loss {result.loss:.3f}")

    def look(self, log: "MetricsLogOfFirst") -> None:
        """Measure on held-out data, and stop early where that is asked for and the loss no longer falls."""
        self.looked = measured(self.parts)
        log.log(self.account.step, **self.figures(), **self.looked)
        loss = self.looked.get("validation_loss")
        if loss is not None and self.patience.is_over(loss, self.plan.run.early_stop):
            self.account.stopped_early = True
        self.account.patience = vars(self.patience).copy()

    def is_bad(self, loss: float, grad_norm: float) -> bool:
        """Whether this step's figures forbid using it."""
        return self.guard.is_bad(self.account.step + 1, loss=loss, grad_norm=grad_norm)

    def count(self, result: StepResult) -> None:
        """Enter a step into the account."""
        self.account.step += 1
        self.account.tokens += result.tokens
        self.account.loss = result.loss
        self.account.skipped, self.account.skipped_in_a_row = self.guard.bad.total, self.guard.bad.in_a_row
        self.account.recent, self.account.rollbacks = self.guard.recent.saved(), self.guard.rollbacks
        self.account.seconds = self.resumed_seconds + time.monotonic() - self.resumed_at

    def figures(self) -> dict[str, float]:
        """Columns that every row of the metrics has."""
        return {"tokens": self.account.tokens, "time_s": round(self.account.seconds, 3)}

    def save_if_due(self) -> None:
        """Save when asked to stop, and then stop; or when enough steps or seconds have passed."""
        run, world = self.plan.run, self.parts.world
        due = bool(run.save_every) and self.account.step % run.save_every == 0
        due = due or time.monotonic() - self.saved_at > run.save_every_s
        due = due or bool(self.saver.settings.keep_best and self.looked)
        asked, due, unfinished = world.any_of([self.stop.asked, due, self.saver.unfinished_here])
        self.saver.settle(unfinished_anywhere=unfinished)
        if asked or due:
            self.save(self.looked)
        if asked:
            self.saver.finish()
            self.stop.obey(saved_at=self.saver.last_saved, reached=self.account.step)

    def save(self, looked: Mapping[str, float]) -> None:
        """Begin to write the state, with the held-out figures of this step where they were taken."""
        figures = {**looked, "loss": self.account.loss}
        facts = {**vars(self.account), FIGURES: figures, PLAN: asdict(self.parts.laid_out.plan)}
        self.saver.save(self.account.step, state_tensors(self.parts), facts)
        self.saved_at = time.monotonic()


def measured(parts: Parts) -> dict[str, float]:
    """Held-out figures of the weights and, where one is kept, of their average (ema_...)."""
    figures = dict(parts.validate())
    if parts.ema is not None:
        with parts.ema.in_place():
            figures |= {f"ema_{name}": value for name, value in parts.validate().items()}
    return figures


def learn(parts: Parts, plan: Plan, batch: Batch, *, rate: float, skip: Callable[[float, float], bool]) -> StepResult:
    """One optimizer step on a global batch; weights stay as they are where `skip` says so."""
    loss = accumulate(parts, plan, batch, num_targets=batch.num_targets)
    norm = parts.laid_out.clip(plan.max_grad_norm)
    balancing = parts.objective if isinstance(parts.objective, Balanced) else None
    more = balancing.taken_figures(parts.world, parts.compute.device) if balancing else {}
    result = StepResult(loss, norm, batch.ids_BT.numel(), batch.ids_BT.shape[1], more)
    skipped = skip(result.loss, result.grad_norm)
    if not skipped:
        set_learning_rate(parts.optimizer, rate)
        parts.optimizer.step()
    if balancing:
        balancing.move_biases(parts.model, parts.world, skip=skipped)
    return result


def accumulate(parts: Parts, plan: Plan, batch: Batch, *, num_targets: int) -> float:
    """Leave the gradient of the mean loss in the weights and return that loss, over all rows of all processes."""
    parts.model.train()
    parts.model.zero_grad(set_to_none=True)
    return parts.laid_out.accumulate(
        parts.objective, batch, micro_rows=plan.micro_batch_size, num_targets=num_targets, compute=parts.compute
    )


def state_tensors(parts: Parts) -> dict[str, torch.Tensor]:
    """Everything that changes while training: trained weights, optimizer moments, generators."""
    average = parts.ema.tensors() if parts.ema is not None else {}
    moved = {**average, **moved_biases(parts.objective, parts.laid_out)}
    return {**parts.laid_out.state(parts.optimizer), **moved, **rng_tensors(parts.world.rank)}


@torch.no_grad()
def restore(parts: Parts, saver: Saver) -> Account:
    """Put the newest whole state into the parts; a fresh account where there is none."""
    saved = saver.load()
    if saved is None:
        return begun_with(parts)
    biases = moved_biases(parts.objective, parts.laid_out)
    check_same_model(saved, parts.laid_out.trained_names() | biases.keys(), parts.laid_out.is_complete)
    put_back(parts, saved)
    restore_rng(saved, parts.world.generator * parts.world.num_alike)
    return Account(**{name: value for name, value in saved.facts.items() if name not in (FIGURES, PLAN, NAMES)})


@torch.no_grad()
def begun_with(parts: Parts) -> Account:
    """The account of a new run, after its weights and moments were taken up where it begins with another's."""
    if parts.beginning is None:
        return Account()
    parts.laid_out.restore(parts.beginning.state, parts.optimizer)
    if parts.ema is not None:
        parts.ema.begin()
    return Account(step=parts.beginning.step)


@torch.no_grad()
def put_back(parts: Parts, saved: SavedState) -> None:
    """Make weights, their average and the optimizer what they were."""
    parts.laid_out.restore(saved, parts.optimizer)
    for name, bias in moved_biases(parts.objective, parts.laid_out).items():
        bias.copy_(saved.fill(name, bias))
    if parts.ema is not None:
        parts.ema.restore(saved)


def check_same_model(saved: SavedState, trained: set[str], complete: bool) -> None:
    """Raise ArtifactError where the state has weights that this model has not (one that is whole in this process)."""
    foreign = sorted(name for name in saved if name.partition(".")[0] not in ("optim", "rng", "ema"))
    foreign = [name for name in foreign if name not in trained]
    if complete and foreign:
        raise ArtifactError(
            f"{saved.folder}: holds {foreign[0]!r}, which this run does not train: it is the state of another model"
        )


class MetricsLogOfFirst:
    """The metrics log of the first process; in the others, nothing is written."""

    def __init__(self, world: World, folder: Path, step: int, run: RunSettings, *, looks: int | None) -> None:
        options = {"tensorboard": run.tensorboard, "trackers": run.trackers, "config": to_plain(run), "looks": looks}
        self._log = MetricsLog(folder, resumed_at=step, **options) if world.is_first else None

    def log(self, step: int, **values: float) -> None:
        """Add a row."""
        if self._log is not None:
            self._log.log(step, **values)

    def __enter__(self) -> "MetricsLogOfFirst":
        return self

    def __exit__(self, *_: object) -> None:
        if self._log is not None:
            self._log.close()
