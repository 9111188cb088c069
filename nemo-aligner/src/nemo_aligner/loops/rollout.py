"""A step's rollout: answers sampled from the latest weights, scored, and looked at by the reference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..logprobs import Turn
from ..rewards.mixture import Scores
from ..rewards.sample import Sample
from ..roles.generator import Answer, Wanted
from ..rows.read import as_mapping
from ..rows.tokenize import Prompt
from ..runtime.group import Group
from ..runtime.weights import Weights


@dataclass
class Scored:
    """An answer with what the rewards and the reference say of it."""

    answer: Answer
    reward: float | None
    parts: dict[str, float | None]
    reference_logps: list[float] | None = None

    def turn(self, prompt: Prompt) -> Turn:
        """Prompt and answer as token ids."""
        return Turn(prompt.ids, tuple(self.answer.ids))


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn; `weights` is a handle that every worker can take them from."""

    weights: Weights | None
    max_tokens: int
    temperature: float


def sample(generator: Group, prompts: Sequence[Prompt], seeds: Sequence[int], sampling: Sampling) -> list[Answer]:
    """An answer to each prompt, in order."""
    wanted = [Wanted(prompt.ids, seed) for prompt, seed in zip(prompts, seeds)]
    return generator.shard(
        "answer",
        wanted,
        sampling.weights,
        sampling.max_tokens,
        sampling.temperature,
        sizes=[len(prompt.ids) + sampling.max_tokens for prompt in prompts],
    )


def score(judge: Group, prompts: Sequence[Prompt], answers: Sequence[Answer]) -> list[Scored]:
    """The answers with their rewards."""
    samples = [
        Sample(
            answer=answer.text, row=as_mapping(prompt.row), num_tokens=len(answer.ids), is_finished=answer.is_finished
        )
        for prompt, answer in zip(prompts, answers)
    ]
    scores: Scores = judge.one("score", samples).result()
    return [
        Scored(answer, total, {name: values[i] for name, values in scores.parts.items()})
        for i, (answer, total) in enumerate(zip(answers, scores.total))
    ]


def consult(reference: Group, prompts: Sequence[Prompt], scored: Sequence[Scored]) -> None:
    """Add the reference's log-probs to each of `scored`."""
    turns = [item.turn(prompt) for prompt, item in zip(prompts, scored)]
    rows = reference.shard("log_probs", turns, sizes=[len(turn) for turn in turns])
    for item, row in zip(scored, rows):
        item.reference_logps = row


def to_record(scored: Sequence[Scored], *, version: int) -> dict[str, Any]:
    """The rollout as the journal keeps it."""
    return {"version": version, "samples": [{**vars(item), "answer": vars(item.answer)} for item in scored]}


def from_record(record: Mapping[str, Any]) -> list[Scored]:
    """The rollout that `to_record` wrote."""
    return [Scored(**{**item, "answer": Answer(**item["answer"])}) for item in record["samples"]]
