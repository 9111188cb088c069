"""The generator: samples answers from the policy's latest weights with nemo-core's engine."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nemo_core.inference import Engine, Request, SamplingParams
from nemo_core.tokenizer.load import load_tokenizer
from nemo_core.train.optimizer import trained_weights

from ..runtime.weights import Weights, unpack
from ..settings.training import Adapter
from .model import build_model

MAX_SLOTS = 256


@dataclass(frozen=True)
class Wanted:
    """An answer to sample: its prompt, and its own seed, so that it does not depend on what else is sampled."""

    prompt_ids: Sequence[int]
    seed: int


@dataclass
class Answer:
    """A sampled answer with the log-prob of every token; `is_finished` where the model ended its turn itself."""

    ids: list[int] = field(default_factory=list)
    logps: list[float] = field(default_factory=list)
    text: str = ""
    is_finished: bool = False


class Generator:
    """A copy of the policy that samples. Calls carry their weights, so a restarted worker needs nothing else."""

    def __init__(self, folder: Path, adapter: Adapter, seed: int) -> None:
        self.model = build_model(folder, adapter, seed=seed).eval()
        self.learning = dict(trained_weights(self.model))
        self.model.requires_grad_(False)
        self.tokenizer = load_tokenizer(folder)
        self.version = 0
        self.engine: Engine | None = None

    def answer(
        self, wanted: Sequence[Wanted], weights: Weights | None, max_tokens: int, temperature: float
    ) -> list[Answer]:
        """One answer for each of `wanted`, from `weights` (None: those of the folder); temperature 0 is greedy."""
        if weights is not None and weights.version != self.version:
            unpack(weights, self.learning)
            self.version = weights.version
        longest = max(len(want.prompt_ids) for want in wanted)
        engine = self.fresh_engine(min(len(wanted), MAX_SLOTS), longest + max_tokens)
        for index, want in enumerate(wanted):
            sampling = SamplingParams(
                max_tokens=max_tokens, temperature=temperature, seed=want.seed, logprobs=0, scaled_logprobs=True
            )
            engine.add(Request(id=index, prompt_ids=want.prompt_ids, sampling=sampling))
        answers = drain(engine, len(wanted))
        self.engine = engine
        return answers

    def fresh_engine(self, slots: int, length: int) -> Engine:
        """The engine of the call before with the weights as they are now, or a larger one.

        Nothing computed before is used again, so answers do not depend on what was asked before. A call that fails
        leaves no engine behind, and none of its requests.
        """
        engine, self.engine = self.engine, None
        if engine is not None and engine.max_slots >= slots and engine.max_length >= length:
            engine.refresh()
            return engine
        if engine is not None:
            slots, length = max(slots, engine.max_slots), max(length, engine.max_length)
        return Engine(self.model, self.tokenizer, max_slots=slots, max_length=length, stream_text=False)


def drain(engine: Engine, count: int) -> list[Answer]:
    """Run `engine` until its work is done; the answers to requests 0 to `count` - 1."""
    answers = [Answer() for _ in range(count)]
    while engine.has_work:
        for delta in engine.step():
            answer = answers[int(delta.id)]
            answer.ids += delta.token_ids
            answer.logps += delta.logprobs
            answer.text += delta.text
            answer.is_finished = delta.finish_reason == "stop"
    return answers
