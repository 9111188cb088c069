"""Sequence classifiers of Hugging Face folders, run with torch.

B batch, T tokens, H hidden width, L labels.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from ..foundation.errors import ConfigError
from .prompt_heads import PromptHeads, read_prompt
from .settings import Classify
from .weights import load_into, names_in

LONGEST = 100_000
MAX_EDU_SCORE = 5
HIGH_QUALITY_FROM = 2.5


class FirstTokenHead(nn.Module):
    """A backbone and a linear layer on the state of its first token, as NVIDIA publishes its DeBERTa classifiers."""

    def __init__(self, config: Any, labels: int) -> None:
        super().__init__()
        self.model = AutoModel.from_config(config)  # type: ignore[no-untyped-call]
        self.fc = nn.Linear(config.hidden_size, labels)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Logits [B, L]."""
        states_BTH = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        logits_BL: Tensor = self.fc(states_BTH[:, 0])
        return logits_BL


class Classifier:
    """A model and its tokenizer; `labels` are the names of its outputs."""

    def __init__(self, module: nn.Module, tokenizer: Any, labels: Sequence[str], settings: Classify) -> None:
        self.labels = tuple(labels)
        self._module, self._tokenizer, self._settings = module, tokenizer, settings
        self._device = device_of(settings)
        module.to(self._device).eval()

    def classify(self, texts: Sequence[str]) -> dict[str, list[Any]]:
        """What the model says of each text, by the ends of the column names."""
        rows: list[Any] = [None] * len(texts)
        encoded = self._encode(texts)
        for batch in batches([len(ids) for ids in encoded], self._settings.batch_tokens):
            outputs = self._run([encoded[index] for index in batch])
            for index, output in zip(batch, outputs, strict=True):
                rows[index] = output
        return self._answers(rows)

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        definition, own = self._settings.definition, self._settings
        limit = own.max_characters or definition.max_characters
        most = min(own.max_tokens or definition.max_tokens or LONGEST, self._tokenizer.model_max_length)
        cut = [text[:limit] for text in texts]
        encoded: list[list[int]] = self._tokenizer(cut, truncation=True, max_length=most)["input_ids"]
        return encoded

    @torch.inference_mode()
    def _run(self, ids: list[list[int]]) -> Tensor:
        padded = self._tokenizer.pad({"input_ids": ids}, return_tensors="pt").to(self._device)
        output = self._module(input_ids=padded["input_ids"], attention_mask=padded["attention_mask"])
        logits: Tensor = output if isinstance(output, Tensor) else output.logits
        return logits.float().cpu()

    def _answers(self, rows: list[Tensor]) -> dict[str, list[Any]]:
        if isinstance(self._module, PromptHeads):
            return read_prompt(rows, self._module)
        if not rows:
            return {"label": [], "score": [], "int_score": []}
        logits_BL = torch.stack(rows)
        return graded(logits_BL[:, 0]) if logits_BL.shape[1] == 1 else likeliest(logits_BL, self.labels)


def likeliest(logits_BL: Tensor, labels: Sequence[str]) -> dict[str, list[Any]]:
    """The likeliest label and its probability."""
    score_B, index_B = logits_BL.double().softmax(-1).max(-1)
    return {"label": [labels[index] for index in index_B.tolist()], "score": score_B.tolist()}


def graded(value_B: Tensor) -> dict[str, list[Any]]:
    """A number between 0 and 5, rounded as well, and whether that is high (FineWeb-Edu, Penedo et al. 2024)."""
    score_B = value_B.double().clamp(0, MAX_EDU_SCORE)
    return {
        "score": score_B.tolist(),
        "int_score": [round(score) for score in score_B.tolist()],
        "label": ["high_quality" if v >= HIGH_QUALITY_FROM else "low_quality" for v in value_B.tolist()],
    }


def batches(lengths: Sequence[int], most_tokens: int) -> Iterator[list[int]]:
    """Indices of texts, longest first, in batches that hold at most so many tokens once padded."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if batch and (len(batch) + 1) * lengths[batch[0]] > most_tokens:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def device_of(settings: Classify) -> str:
    """Where the model runs. Raises ConfigError for a GPU that is not there."""
    if settings.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device=cuda: torch finds no GPU here; use device=cpu, or install a build of torch for yours")
    if settings.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return settings.device


def load(settings: Classify) -> Classifier:
    """The model of the folder. Raises ConfigError where it cannot be one of the family."""
    torch.set_num_threads(settings.threads)
    folder = settings.model
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        module, labels = module_of(settings, names_in(folder))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ConfigError(f"model={folder}: cannot be loaded as {settings.family} ({error})") from None
    return Classifier(module, tokenizer, labels, settings)


def module_of(settings: Classify, names: frozenset[str]) -> tuple[nn.Module, list[str]]:
    """The module, and the names of its outputs. The names of the weights tell which head it has."""
    folder = settings.model
    if settings.definition.head == "prompt":
        heads = PromptHeads(json.loads((folder / "config.json").read_text(encoding="utf-8")), folder)
        load_into(heads, folder)
        return heads, list(heads.task_names)
    if "fc.weight" in names:
        return first_token(folder)
    module = AutoModelForSequenceClassification.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
    )
    if settings.definition.head == "regression" and module.config.num_labels != 1:
        raise ConfigError(
            f"model={folder}: has {module.config.num_labels} outputs, but family={settings.family} gives one number"
        )
    if module.config.num_labels == 1:
        return module, ["high_quality", "low_quality"]
    return module, names_of(module.config)


def first_token(folder: Path) -> tuple[nn.Module, list[str]]:
    """A backbone with a linear layer on its first token."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    labels = names_of(config)
    module = FirstTokenHead(config, len(labels))
    load_into(module, folder)
    return module, labels


def names_of(config: Any) -> list[str]:
    """The names of the outputs in order."""
    return [str(config.id2label[index]) for index in sorted(config.id2label, key=int)]
