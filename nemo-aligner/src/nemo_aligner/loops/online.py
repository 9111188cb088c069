"""The online loop: sample answers, score them, learn from how they compare within their group.

Every rollout is on disk (the journal) before the update that learns from it, so a killed run repeats its lost updates
from the same samples and ends with the same weights.
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_core.checkpoint.folder import load_config
from nemo_core.foundation.errors import ConfigError, InputError

from ..advantages import GroupAdvantages
from ..algorithms.grpo import Experience, GrpoObjective
from ..rewards.mixture import Mixture
from ..roles.generator import Generator
from ..roles.judge import Judge
from ..roles.policy import Policy, PolicySettings
from ..roles.reference import Reference
from ..rows.order import items_of_step, spread
from ..rows.read import split_conversations
from ..rows.seeds import seed_of
from ..rows.tokenize import Prompt, matching_tokenizer, tokenize_prompt
from ..runtime.group import Cluster, Plan, Role, Workers
from ..runtime.journal import Journal
from ..settings.grpo import GrpoSettings
from .course import Course, Figures, Stopwatch
from .figures import advantages_of, answer_figures, rollout_figures
from .rollout import Sampling, Scored, consult, from_record, sample, score, to_record

HELD_OUT = -1


@dataclass(frozen=True)
class PromptData:
    """Prompts to learn on and prompts to measure on, and how many left no room for an answer."""

    train: Sequence[Prompt]
    validation: Sequence[Prompt]
    too_long: int


def load_prompts(settings: GrpoSettings) -> PromptData:
    """Tokenise the dataset. Raises InputError where no prompt leaves room for an answer."""
    Mixture(settings.rewards)
    limit = max_prompt_length(settings)
    tokenizer = matching_tokenizer(settings.model)
    split = split_conversations(settings.conversations)
    train = [tokenize_prompt(tokenizer, row) for row in split.train]
    validation = [tokenize_prompt(tokenizer, row) for row in split.validation]
    fitting = [prompt for prompt in train if len(prompt.ids) <= limit]
    fitting_validation = [prompt for prompt in validation if len(prompt.ids) <= limit]
    if not fitting or not fitting_validation:
        shortest = min(len(prompt.ids) for prompt in [*train, *validation])
        raise InputError(
            f"{settings.conversations}: no prompt fits into the {limit} tokens that max_tokens={settings.max_tokens} "
            f"leaves (the shortest has {shortest}); lower max_tokens"
        )
    too_long = len(train) + len(validation) - len(fitting) - len(fitting_validation)
    held_out = [fitting_validation[i] for i in spread(len(fitting_validation), settings.validation_prompts)]
    return PromptData(fitting, held_out, too_long)


def max_prompt_length(settings: GrpoSettings) -> int:
    """Tokens of the model's window that an answer leaves. Raises ConfigError where it leaves none."""
    window = settings.max_length or load_config(settings.model).max_positions
    if settings.max_tokens >= window:
        raise ConfigError(
            f"max_tokens={settings.max_tokens} leaves no room for a prompt in {window} tokens; use less than {window}"
        )
    return window - settings.max_tokens


def plan(settings: GrpoSettings) -> Plan:
    """Two kinds of workers: one that learns, and those that answer, judge and remember the reference."""
    objective = GrpoObjective(
        kl_beta=settings.kl_beta,
        clip_low=settings.clip_low,
        clip_high=settings.clip_high,
        aggregation=settings.aggregation,
        divergence=settings.divergence,
        max_answer_tokens=settings.max_tokens,
        temperature=settings.temperature,
    )
    reference = (settings.model, settings.micro_batch_tokens, settings.temperature)
    policy = PolicySettings(training=settings, total_steps=settings.steps * settings.updates_per_rollout)
    return {
        "trainer": Workers(roles={"policy": Role(Policy, (policy, objective))}),
        "sampler": Workers(
            roles={
                "generator": Role(Generator, (settings.model, settings.adapter, settings.seed)),
                "reference": Role(Reference, reference),
                "judge": Role(Judge, (settings.rewards,)),
            },
            count=settings.generators,
            restarts=2,
        ),
    }


def align(settings: GrpoSettings, data: PromptData, folder: Path, cluster: Cluster) -> dict[str, Any]:
    """Run the loop and write the model into `folder`; stats with figures on held-out prompts before and after."""
    run = OnlineRun(settings, data, folder, cluster)
    before = run.course.once("before", lambda: run.measure(None))
    start = run.course.resume()
    run.recorded = run.journal.since(start)
    run.course.follow(start, run.advance)
    after = run.measure(run.publish(settings.steps))
    run.policy.one("save_model", folder).result()
    records = run.journal.since(0).values()
    return {
        "tokens": sum(len(s["answer"]["ids"]) for record in records for s in record["samples"]),
        "prompts": {"train": len(data.train), "validation": len(data.validation), "too_long": data.too_long},
        "failed_samples": sum(s["reward"] is None for record in records for s in record["samples"]),
        "before": before,
        "after": after,
    }


class OnlineRun:
    """The steps of a run and what they share."""

    def __init__(self, settings: GrpoSettings, data: PromptData, folder: Path, cluster: Cluster) -> None:
        self.settings, self.data, self.cluster = settings, data, cluster
        self.policy = cluster.groups["policy"]
        self.course = Course(
            label="grpo",
            folder=folder,
            policy=self.policy,
            steps=settings.steps,
            save_every=settings.save_every,
            note=lambda values: f"reward {values['reward']:.3f}, length {values['response_tokens']:.0f}",
        )
        self.journal = Journal(self.course.state / "rollouts.jsonl")
        self.recorded: Mapping[int, Mapping[str, Any]] = {}
        self.silent_steps = 0

    def publish(self, version: int) -> Any:
        """A handle to the policy's weights, numbered by the steps they have behind them."""
        return self.cluster.put(self.policy.one("weights", version).result())

    def prompts_of(self, step: int) -> list[Prompt]:
        """The prompts of a step, each as often as its group has members."""
        indices = items_of_step(
            step,
            num_items=len(self.data.train),
            batch_size=self.settings.prompts_per_step,
            seed=self.settings.seed,
        )
        return [self.data.train[i] for i in indices for _ in range(self.settings.group_size)]

    def rollout(self, step: int, prompts: Sequence[Prompt]) -> list[Scored]:
        """The step's scored answers: from the journal where they are in it, sampled and journalled otherwise."""
        if step in self.recorded:
            return from_record(self.recorded[step])
        groups, settings = self.cluster.groups, self.settings
        weights = self.publish(step) if step else None
        seeds = [seed_of(settings.seed, step, place) for place in range(len(prompts))]
        answers = sample(
            groups["generator"], prompts, seeds, Sampling(weights, settings.max_tokens, settings.temperature)
        )
        scored = score(groups["judge"], prompts, answers)
        if settings.kl_beta:
            consult(groups["reference"], prompts, scored)
        self.journal.append(step, to_record(scored, version=step))
        return scored

    def advance(self, step: int) -> Figures:
        """One rollout and what is learnt from it."""
        watch = Stopwatch()
        prompts = self.prompts_of(step)
        with watch.phase("rollout"):
            scored = self.rollout(step, prompts)
        found = advantages_of(scored, self.settings)
        self.warn(step, found)
        with watch.phase("update"):
            learnt = self.learn(step, prompts, scored, found)
        timing = {f"seconds/{name}": spent for name, spent in watch.seconds.items()}
        tokens = sum(len(item.answer.ids) for item in scored)
        speed = {"tokens": float(tokens), "tokens_per_s": tokens / sum(watch.seconds.values())}
        return {**learnt, **rollout_figures(scored, found), **timing, **speed}

    def learn(self, step: int, prompts: Sequence[Prompt], scored: Sequence[Scored], found: GroupAdvantages) -> Figures:
        """Update the policy on the answers that could be scored; figures of the first update, where ratios are 1."""
        items = [
            Experience(item.turn(prompt), advantage, item.answer.logps, item.reference_logps)
            for prompt, item, advantage, is_scored in zip(
                prompts, scored, found.advantage_S.tolist(), found.is_scored_S.tolist()
            )
            if is_scored and item.answer.ids
        ]
        if not items:
            raise InputError(f"step {step + 1}: none of {len(scored)} answers could be scored; see the rewards")
        updates = self.settings.updates_per_rollout
        figures = [self.policy.one("update", items, step * updates + index).result() for index in range(updates)]
        first, last = figures[0], figures[-1]
        return {**last, "logp_gap": first["logp_gap"], "logp_gap_max": first["logp_gap_max"]}

    def warn(self, step: int, found: GroupAdvantages) -> None:
        """Say once when steps go by in which no group has two different rewards: nothing can be learnt from them."""
        is_silent = found.num_zero_variance + found.num_singletons >= found.num_groups
        self.silent_steps = self.silent_steps + 1 if is_silent else 0
        if self.silent_steps == 5:
            print(
                f"nemo-aligner: warning: steps {step - 3} to {step + 1}: every answer of a group scored the same, so "
                "nothing is learnt; raise temperature or group_size, or choose rewards that tell answers apart",
                file=sys.stderr,
            )

    def measure(self, weights: Any) -> Figures:
        """Mean reward and its parts on the held-out prompts, sampled as in training, with the same seeds each time."""
        groups, prompts = self.cluster.groups, self.data.validation
        sampling = Sampling(weights, self.settings.max_tokens, self.settings.temperature)
        seeds = [seed_of(self.settings.seed, HELD_OUT, place) for place in range(len(prompts))]
        answers = sample(groups["generator"], prompts, seeds, sampling)
        return answer_figures(score(groups["judge"], prompts, answers))
