"""The policy: the model that learns, its optimiser and its state on disk."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from nemo_core.checkpoint.folder import save_model
from nemo_core.checkpoint.state import load_state, optimizer_tensors, restore_optimizer, save_state
from nemo_core.checkpoint.state_names import StateNames
from nemo_core.checkpoint.state_store import NAMES
from nemo_core.peft.merge import merge_adapters
from nemo_core.train.optimizer import build_optimizer, set_learning_rate, trained_weights
from nemo_core.train.recovery import Diverged
from nemo_core.train.schedule import learning_rate_at

from ..algorithms.objective import LossTerms, Objective
from ..logprobs import Turn
from ..runtime.weights import Weights, pack
from ..settings.training import Training
from .model import build_model
from .reference import turn_log_probs


@dataclass(frozen=True, kw_only=True)
class PolicySettings:
    """What a policy is built from; travels to its worker."""

    training: Training
    total_steps: int


class Policy:
    """Learns by `objective`; every update is one optimiser step over a whole batch."""

    def __init__(self, settings: PolicySettings, objective: Objective[Any]) -> None:
        self.settings, self.total_steps, self.objective = settings.training, settings.total_steps, objective
        self.model = build_model(self.settings.model, self.settings.adapter, seed=self.settings.seed).train()
        self.optimizer = build_optimizer(
            self.model,
            learning_rate=self.settings.learning_rate,
            weight_decay=self.settings.optimizer.weight_decay,
            betas=(self.settings.optimizer.beta1, self.settings.optimizer.beta2),
        )

    def update(self, items: Sequence[Any], step: int) -> dict[str, float]:
        """One optimiser step on `items`; loss and metrics of the whole batch, in floats. `step` counts from 0."""
        rate = self._set_learning_rate(step)
        self.optimizer.zero_grad(set_to_none=True)
        parts = self.objective.cut(items, max_tokens=self.settings.micro_batch_tokens)
        metrics = add_up([self._backward(part) for part in parts])
        weights = [weight for _, weight in trained_weights(self.model)]
        norm = torch.nn.utils.clip_grad_norm_(weights, self.settings.optimizer.max_grad_norm)
        if not torch.isfinite(norm):
            raise Diverged(
                f"update {step + 1}: loss {metrics['loss']}, gradient norm {float(norm)}; "
                "lower learning_rate or raise schedule.warmup_share"
            )
        self.optimizer.step()
        return {**metrics, "grad_norm": float(norm), "learning_rate": rate}

    def _backward(self, part: Any) -> LossTerms:
        terms = self.objective.loss(self.model, part)
        torch.autograd.backward(terms.loss)
        return LossTerms(terms.loss.detach(), terms.shares, terms.peaks)

    def _set_learning_rate(self, step: int) -> float:
        schedule = self.settings.schedule
        rate = learning_rate_at(
            step,
            peak=self.settings.learning_rate,
            warmup_steps=round(schedule.warmup_share * self.total_steps),
            total_steps=self.total_steps,
            kind=schedule.kind,
            minimum_ratio=schedule.minimum_ratio,
            decay_share=schedule.decay_share,
            decay_shape=schedule.decay_shape,
        )
        set_learning_rate(self.optimizer, rate)
        return rate

    def log_probs(self, turns: Sequence[Turn]) -> list[list[float]]:
        """Log-prob of every answer token of each turn under the policy as it is now."""
        return turn_log_probs(self.model, turns, max_tokens=self.settings.micro_batch_tokens)

    def weights(self, version: int) -> Weights:
        """What has been learnt so far, to send to a generator."""
        return pack(dict(trained_weights(self.model)), version=version)

    def save_state(self, folder: Path, step: int) -> None:
        """Write everything that the next step depends on."""
        tensors = {name: tensor.detach() for name, tensor in trained_weights(self.model)}
        tensors |= optimizer_tensors(self.optimizer, self.model)
        save_state(folder, tensors, {"step": step}, names=StateNames(self.model.config))

    def load_state(self, folder: Path) -> int:
        """Take up the state in `folder`; the number of steps it has behind it."""
        tensors, facts = load_state(folder, names=StateNames(self.model.config))
        former = NAMES not in facts  # a version before put `model.` before every weight
        with torch.no_grad():
            for name, tensor in trained_weights(self.model):
                tensor.copy_(tensors[f"model.{name}" if former else name])
        restore_optimizer(self.optimizer, self.model, tensors)
        return int(facts["step"])

    def save_model(self, folder: Path) -> None:
        """Write the model as a Hugging Face folder, an adapter merged into its weights."""
        if self.settings.adapter.rank:
            merge_adapters(self.model)
        save_model(self.model, folder)


def add_up(terms: Sequence[LossTerms]) -> dict[str, float]:
    """Loss and metrics of a batch from its micro batches: shares are summed, peaks compared."""
    totals: dict[str, float] = defaultdict(float)
    for term in terms:
        totals["loss"] += term.loss.item()
        for name, share in term.shares.items():
            totals[name] += float(share)
        for name, peak in term.peaks.items():
            totals[name] = max(totals.get(name, float("-inf")), float(peak))
    return dict(totals)
