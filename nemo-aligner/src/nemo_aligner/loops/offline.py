"""The offline loop: learn from pairs of a better and a worse answer that lie on disk.

The reference's log-probs of every pair the run will visit are computed once, before the first update.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_core.checkpoint.folder import load_config
from nemo_core.foundation.errors import InputError

from ..algorithms.dpo import DpoObjective, Pair
from ..evaluation.preference import figures, margins, score_pairs
from ..roles.policy import Policy, PolicySettings
from ..roles.reference import Reference
from ..rows.order import items_of_step, spread
from ..rows.read import split_preferences
from ..rows.tokenize import TokenPair, matching_tokenizer, tokenize_pair, within
from ..runtime.group import Cluster, Group, Plan, Role, Workers
from ..settings.dpo import DpoSettings
from .course import Course, Figures


@dataclass(frozen=True)
class PairData:
    """Pairs to learn from and pairs to measure on, as token ids, and how many were too long for the model."""

    train: Sequence[TokenPair]
    validation: Sequence[TokenPair]
    too_long: int


def load_pairs(settings: DpoSettings) -> PairData:
    """Tokenise the dataset. Raises InputError where no pair fits the model."""
    tokenizer = matching_tokenizer(settings.model)
    limit = settings.max_length or load_config(settings.model).max_positions
    split = split_preferences(settings.preferences)
    held_out = [split.validation[i] for i in spread(len(split.validation), settings.validation_pairs)]
    train = [tokenize_pair(tokenizer, row) for row in split.train]
    validation = [tokenize_pair(tokenizer, row) for row in held_out]
    fitting, fitting_validation = within(train, limit), within(validation, limit)
    if not fitting or not fitting_validation:
        shortest = min(max(len(pair.chosen), len(pair.rejected)) for pair in [*train, *validation])
        raise InputError(f"{settings.preferences}: no pair fits into {limit} tokens (the shortest has {shortest})")
    too_long = len(train) + len(validation) - len(fitting) - len(fitting_validation)
    return PairData(fitting, fitting_validation, too_long)


def num_steps(settings: DpoSettings, data: PairData) -> int:
    """Updates of the run: `steps`, or what `epochs` passes take."""
    return settings.steps or -(-settings.epochs * len(data.train) // settings.batch_size)


def batch_of(step: int, settings: DpoSettings, data: PairData) -> list[int]:
    """Indices of the pairs that `step` learns from."""
    return items_of_step(step, num_items=len(data.train), batch_size=settings.batch_size, seed=settings.seed)


def plan(settings: DpoSettings, data: PairData) -> Plan:
    """Two workers: one learns, one is the reference."""
    objective = DpoObjective(
        beta=settings.beta,
        loss_type=settings.loss,
        label_smoothing=settings.label_smoothing,
        sft_weight=settings.sft_weight,
    )
    policy = PolicySettings(training=settings, total_steps=num_steps(settings, data))
    reference = Role(Reference, (settings.model, settings.micro_batch_tokens))
    return {
        "trainer": Workers(roles={"policy": Role(Policy, (policy, objective))}),
        "scorer": Workers(roles={"reference": reference}, restarts=2),
    }


def align(settings: DpoSettings, data: PairData, folder: Path, cluster: Cluster) -> dict[str, Any]:
    """Run the loop and write the model into `folder`; stats with figures on held-out pairs before and after."""
    policy, reference = cluster.groups["policy"], cluster.groups["reference"]
    course = Course(
        label="dpo",
        folder=folder,
        policy=policy,
        steps=num_steps(settings, data),
        save_every=settings.save_every,
        note=lambda values: f"loss {values['loss']:.3f}, accuracy {values['preference_accuracy']:.2f}",
    )
    untouched = course.once("held_out", lambda: score_pairs(reference, data.validation))
    pairs = with_reference(settings, data, course, reference)

    def advance(step: int) -> Figures:
        items = [pairs[i] for i in batch_of(step, settings, data)]
        started = time.perf_counter()
        values: Figures = policy.one("update", items, step).result()
        tokens = sum(map(num_tokens, items))
        return {**values, "tokens": tokens, "tokens_per_s": tokens / (time.perf_counter() - started)}

    course.follow(course.resume(), advance)
    aligned = score_pairs(policy, data.validation)
    policy.one("save_model", folder).result()
    return {
        "tokens": sum(num_tokens(pairs[i]) for step in range(course.steps) for i in batch_of(step, settings, data)),
        "pairs": {"train": len(data.train), "validation": len(data.validation), "too_long": data.too_long},
        "before": figures(untouched, untouched, beta=settings.beta, loss=settings.loss),
        "after": figures(aligned, untouched, beta=settings.beta, loss=settings.loss),
    }


def num_tokens(pair: Pair) -> int:
    """Tokens that one visit of `pair` puts through the model."""
    return len(pair.chosen) + len(pair.rejected)


def with_reference(settings: DpoSettings, data: PairData, course: Course, reference: Group) -> dict[int, Pair]:
    """The pairs the run will visit, by index, with the reference's view of each; computed once, then kept on disk."""
    visited = sorted({i for step in range(course.steps) for i in batch_of(step, settings, data)})
    scores = course.once("reference", lambda: score_pairs(reference, [data.train[i] for i in visited]))
    return {
        index: Pair(data.train[index].chosen, data.train[index].rejected, margin)
        for index, margin in zip(visited, margins(scores, settings.loss))
    }
