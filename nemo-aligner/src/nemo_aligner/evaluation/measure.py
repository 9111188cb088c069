"""Everything that is measured of one model."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

from nemo_core.data.batch import Batch
from nemo_core.data.indexed import IndexedDataset
from nemo_core.data.rows import Conversation
from nemo_core.data.windows import Windows
from nemo_core.foundation.errors import InputError
from nemo_core.tokenizer.load import load_tokenizer
from nemo_core.train.measure import measure

from ..loops.figures import answer_figures
from ..loops.rollout import Sampling, Scored, sample, score
from ..roles.generator import Generator
from ..roles.judge import Judge
from ..roles.reference import Reference
from ..rows.read import as_mapping
from ..rows.seeds import seed_of
from ..rows.tokenize import Prompt, matching_tokenizer, tokenize_answer, tokenize_pair, tokenize_prompt, within
from ..runtime.group import Group, Role, Workers
from ..runtime.inline import InlineCluster
from ..settings.evaluate import EvaluateSettings
from ..settings.training import Adapter
from .data import EvaluationData
from .preference import own_figures, score_pairs

Better = Literal["lower", "higher"]
WINDOW_ROWS = 8
MAX_WINDOW = 512


def measure_model(folder: Path, data: EvaluationData, settings: EvaluateSettings) -> dict[str, Any]:
    """``{"metrics": {name: {value, unit, better, count}}, "samples": [{prompt, answer, reference}]}`` of one model."""
    model = Measured(folder, settings)
    scored = model.answer(data.questions)
    metrics = {**model.text(data), **model.own_answers(data), **model.preferences(data), **quality(scored)}
    data.skipped[str(folder)] = model.skipped
    shown = [*scored[: settings.samples], *model.answer(data.trained)]
    held_out = len(scored[: settings.samples])
    samples = [{**as_sample(prompt, item), "held_out": i < held_out} for i, (prompt, item) in enumerate(shown)]
    return {"metrics": metrics, "samples": samples}


class Measured:
    """A model under measurement; `skipped` counts rows that do not fit its window."""

    def __init__(self, folder: Path, settings: EvaluateSettings) -> None:
        self.settings, self.tokenizer, self.skipped = settings, matching_tokenizer(folder), 0
        self.reference = Reference(folder, settings.micro_batch_tokens)
        self.window = settings.max_length or self.reference.model.config.max_positions
        roles = {
            "generator": Role(Generator, (folder, Adapter(), 0)),
            "judge": Role(Judge, (settings.rewards,)),
            "reference": Role(lambda: self.reference),
        }
        self.groups: dict[str, Group] = InlineCluster({"all": Workers(roles=roles)}).groups

    def answer(self, rows: Sequence[Conversation]) -> list[tuple[Prompt, Scored]]:
        """The model's own answers to the questions of `rows`, scored by the rewards."""
        room = self.window - self.settings.max_tokens
        tokenized = [tokenize_prompt(self.tokenizer, row) for row in rows]
        prompts = [prompt for prompt in tokenized if len(prompt.ids) <= room]
        self.skipped += len(tokenized) - len(prompts)
        if not prompts:
            raise InputError(f"no question fits into the {room} tokens that max_tokens leaves; lower max_tokens")
        seeds = [seed_of(self.settings.seed, index) for index in range(len(prompts))]
        sampling = Sampling(None, self.settings.max_tokens, self.settings.temperature)
        answers = sample(self.groups["generator"], prompts, seeds, sampling)
        return list(zip(prompts, score(self.groups["judge"], prompts, answers)))

    def own_answers(self, data: EvaluationData) -> dict[str, Any]:
        """How likely the model finds the held-out answers."""
        tokenized = [tokenize_answer(self.tokenizer, row) for row in data.questions]
        turns = [turn for turn in tokenized if len(turn) <= self.window]
        self.skipped += len(tokenized) - len(turns)
        logps = [logp for row in self.reference.log_probs(turns) for logp in row]
        if not logps:
            return {}
        return {"answer_loss": metric(-sum(logps) / len(logps), "nats per token", "lower", len(logps))}

    def preferences(self, data: EvaluationData) -> dict[str, Any]:
        """How the model ranks the held-out pairs."""
        tokenized = [tokenize_pair(self.tokenizer, row) for row in data.pairs]
        pairs = within(tokenized, self.window)
        self.skipped += len(tokenized) - len(pairs)
        if not pairs:
            return {}
        found = own_figures(score_pairs(self.groups["reference"], pairs))
        return {
            "preference_accuracy": metric(found["preference_accuracy"], "share", "higher", len(pairs)),
            "logp_margin": metric(found["logp_margin"], "nats per token", "higher", len(pairs)),
        }

    def text(self, data: EvaluationData) -> dict[str, Any]:
        """Perplexity on the validation part of the tokens. Raises InputError where its vocabulary is another."""
        if data.tokens is None:
            return {}
        found = measure(self.reference.model, self.windows(data.tokens))
        return {"perplexity": metric(found.perplexity, "", "lower", found.count)}

    def windows(self, tokens: Path) -> Iterator[Batch]:
        """The validation tokens in windows of the model's length, up to ``perplexity_tokens``."""
        if load_tokenizer(tokens / "tokenizer").vocab_size != self.tokenizer.vocab_size:
            raise InputError(f"{tokens}: made with another tokenizer than the model's; leave tokens= out or match them")
        stream = IndexedDataset(tokens / "validation").tokens
        windows = Windows(stream, min(self.window, MAX_WINDOW))
        count = min(len(windows), max(1, self.settings.perplexity_tokens // windows.length))
        for start in range(0, count, WINDOW_ROWS):
            yield windows.batch(list(range(start, min(start + WINDOW_ROWS, count))))


def quality(scored: Sequence[tuple[Prompt, Scored]]) -> dict[str, Any]:
    """Mean reward, its parts and the length of answers."""
    found = answer_figures([item for _, item in scored])
    better: dict[str, tuple[str, Better]] = {"response_tokens": ("tokens", "lower"), "truncated": ("share", "lower")}
    return {
        name: metric(value, *better.get(name, ("", "higher")), len(scored))
        for name, value in found.items()
        if name != "failed"
    }


def metric(value: float, unit: str, better: Better, count: int) -> dict[str, Any]:
    """A figure with what is needed to read it."""
    return {"value": value, "unit": unit, "better": better, "count": count}


def as_sample(prompt: Prompt, item: Scored) -> dict[str, str]:
    """A question, what the model says to it, and what the data says."""
    row = as_mapping(prompt.row)
    question = next(m["content"] for m in reversed(row["messages"]) if m["role"] == "user")
    reference = next(m["content"] for m in reversed(row["messages"]) if m["role"] == "assistant")
    return {"prompt": question, "answer": item.answer.text, "reference": reference}
