"""The generator: samples answers from the policy's latest weights with nemo-core's engine."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nemo_core.inference import Engine, Request, SamplingParams
from nemo_core.tokenizer.load import load_tokenizer

from ..runtime.weights import Weights, unpack
from ..settings.training import Adapter
from .model import build_model, learning_tensors


@dataclass(frozen=True)
class Wanted:
    """An answer to sample: its prompt and its own seed, so that it does not depend on what else is sampled."""

    prompt_ids: Sequence[int]
    seed: int


@dataclass
class Rollout:
    """A sampled answer with the log-prob of every token, and the version of the weights it came from."""

    answer_ids: list[int] = field(default_factory=list)
    logps: list[float] = field(default_factory=list)
    text: str = ""
    is_finished: bool = False
    version: int = -1


class Generator:
    """A copy of the policy that samples. Stateless between calls: the weights come with every call."""

    def __init__(self, folder: Path, adapter: Adapter, seed: int, max_slots: int, max_length: int) -> None:
        self.model = build_model(folder, adapter, seed=seed).requires_grad_(False).eval()
        self.learning = learning_names(folder, adapter, seed)
        self.tokenizer = load_tokenizer(folder)
        self.max_slots, self.max_length = max_slots, max_length
        self.version = -1
