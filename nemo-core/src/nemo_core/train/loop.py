"""The training loop: data, objective, optimizer and schedule are handed in; it learns, looks, logs and saves."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import nn
from torch.optim import Optimizer

from ..checkpoint.state import (
    has_state,
    load_state,
    optimizer_tensors,
    restore_optimizer,
    restore_rng,
    rng_tensors,
    save_state,
)
from ..data.batch import Batch, micro_batches
from ..foundation.progress import Progress
from ..foundation.settings import to_plain
from ..model.decoder import Decoder
from .device import Compute
from .early_stop import Patience
from .efficiency import Efficiency
from .ema import Ema
from .guard import GoodMoment, Guard, RecentLoss
from .metrics import MetricsLog
from .objective import Objective
from .optimizer import set_learning_rate, trained_weights
from .recovery import BadSteps, StopRequest
from .settings import RunSettings
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


def train(parts: Parts, plan: Plan, folder: Path, *, begin: Callable[[], dict[str, Any]] | None = None) -> Account:
    """Run all steps, continuing from the state in `folder`/state where there is one; returns the account.

    `begin` is called before the first step, once however often the run is resumed; what it returns is kept in the
    account's notes. Raises Preempted or KeyboardInterrupt once the state is saved, when asked to stop, and Diverged
    when losses stay infinite.
    """
    account = restore(parts, folder)
    parts.world.wait()  # a slow process must not find the first state that a fast one saves
    with StopRequest() as stop, Progress(plan.label, total=plan.steps, unit="step") as progress:
        loop = Loop(parts, plan, folder, account, stop=stop, progress=progress)
        progress.advance(account.step)
        if not account.begun:
            account.notes = begin() if begin else {}
            account.before = measured(parts)
            account.begun = True
            loop.save()
        with MetricsLogOfFirst(parts.world, folder, account.step, plan.run) as log:
            loop.run(log)
    return account


class Loop:
    """One run in progress."""

    def __init__(
        self, parts: Parts, plan: Plan, folder: Path, account: Account, *, stop: StopRequest, progress: Progress
    ) -> None:
        self.parts, self.plan, self.folder, self.account = parts, plan, folder, account
        self.stop, self.progress = stop, progress
        bad = BadSteps(max_in_a_row=plan.run.max_bad_steps, total=account.skipped, in_a_row=account.skipped_in_a_row)
        moment = GoodMoment(parts.model, parts.optimizer)
        self.guard = Guard(plan.run.guard, bad, RecentLoss(**account.recent), moment)
        self.guard.rollbacks = account.rollbacks
        self.patience = Patience(**account.patience)
        self.efficiency = Efficiency(parts.model.config, parts.compute, num_processes=parts.world.size)
        self.saved_at = time.monotonic()
        self.resumed_at, self.resumed_seconds = time.monotonic(), account.seconds

    def run(self, log: "MetricsLogOfFirst") -> None:
        """All remaining steps, the last measurement, and the final state."""
        if not self.account.step:
            log.log(0, tokens=0, time_s=0.0, **self.account.before)
        while self.account.step < self.plan.steps and not self.account.stopped_early:
            self.one_step(log)
            self.save_if_due()
        self.account.after = measured(self.parts)
        log.log(self.account.step, **self.figures(), **self.account.after)
        self.save()

    def one_step(self, log: "MetricsLogOfFirst") -> None:
        """Learn from one global batch and write down what is due."""
        started, index = time.monotonic(), self.account.step
        rate = self.parts.schedule(index)
        batch = self.parts.data.batch(index)
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
                **spent,
            )
        if run.validation_every and step % run.validation_every == 0 and step < self.plan.steps:
            self.look(log)
        self.progress.advance(note=f"loss {result.loss:.3f}")

    def look(self, log: "MetricsLogOfFirst") -> None:
        """Measure on held-out data, and stop early where that is asked for and the loss no longer falls."""
        looked = measured(self.parts)
        log.log(self.account.step, **self.figures(), **looked)
        loss = looked.get("validation_loss")
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
        asked = world.any(self.stop.asked)
        if asked or world.any(due):
            self.save()
        if asked:
            self.stop.obey(saved_at=self.account.step)

    def save(self) -> None:
        """Write the state; every process waits until it is there."""
        if self.parts.world.is_first:
            save_state(self.folder / "state", state_tensors(self.parts), vars(self.account))
        self.parts.world.wait()
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
    weights = [weight for _, weight in trained_weights(parts.model)]
    loss = accumulate(parts, plan, batch, num_targets=batch.num_targets)
    parts.world.sum_([weight.grad for weight in weights if weight.grad is not None])
    norm = nn.utils.clip_grad_norm_(weights, plan.max_grad_norm, foreach=True)
    result = StepResult(loss, float(norm), batch.ids_BT.numel(), batch.ids_BT.shape[1])
    if not skip(result.loss, result.grad_norm):
        set_learning_rate(parts.optimizer, rate)
        parts.optimizer.step()
    return result


def accumulate(parts: Parts, plan: Plan, batch: Batch, *, num_targets: int) -> float:
    """Leave the gradient of the mean loss in the weights and return that loss, over all rows of all processes."""
    parts.model.train()
    parts.model.zero_grad(set_to_none=True)
    mine = parts.world.share(batch)
    total = torch.zeros((), device=parts.compute.device)
    rows = plan.micro_batch_size or max(1, len(mine.ids_BT))
    for micro in micro_batches(mine.to(parts.compute.device), rows=rows):
        with parts.compute.precision():
            loss = parts.objective(parts.model, micro) / max(1, num_targets)
        loss.backward()
        total += loss.detach()
    complete_gradients(parts.model)
    parts.world.sum_([total])
    return float(total)


def complete_gradients(model: nn.Module) -> None:
    """Give weights that this process had no rows for a gradient of zero, so that all processes sum alike."""
    for _, weight in trained_weights(model):
        if weight.grad is None:
            weight.grad = torch.zeros_like(weight)


def state_tensors(parts: Parts) -> dict[str, torch.Tensor]:
    """Everything that changes while training: trained weights, optimizer moments, generators."""
    weights = {name: weight.detach() for name, weight in trained_weights(parts.model)}
    average = parts.ema.tensors() if parts.ema is not None else {}
    return {**weights, **optimizer_tensors(parts.optimizer, parts.model), **average, **rng_tensors()}


@torch.no_grad()
def restore(parts: Parts, folder: Path) -> Account:
    """Put the state in `folder`/state into the parts; a fresh account where there is none."""
    if not has_state(folder / "state"):
        return Account()
    tensors, facts = load_state(folder / "state")
    for name, weight in trained_weights(parts.model):
        weight.copy_(tensors[name])
    restore_optimizer(parts.optimizer, parts.model, tensors)
    if parts.ema is not None:
        parts.ema.restore(lambda name, _: tensors[name])
    restore_rng(tensors)
    return Account(**facts)


class MetricsLogOfFirst:
    """The metrics log of the first process; in the others, nothing is written."""

    def __init__(self, world: World, folder: Path, step: int, run: RunSettings) -> None:
        options = {"tensorboard": run.tensorboard, "trackers": run.trackers, "config": to_plain(run)}
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
