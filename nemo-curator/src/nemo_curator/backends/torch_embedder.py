"""Embeddings by a transformer from a local folder: the mean of the last layer's tokens, of length one."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModel, AutoTokenizer

from ..foundation.errors import ConfigError


class Embedder:
    """A model in evaluation mode, one thread per process."""

    def __init__(self, model: Any, tokenizer: Any, max_tokens: int) -> None:
        self._model, self._tokenizer, self._max_tokens = model, tokenizer, max_tokens

    def embed(self, texts: list[str], *, batch_size: int) -> npt.NDArray[np.float32]:
        """Unit vectors [texts, width]. Texts of like length share a batch."""
        order = sorted(range(len(texts)), key=lambda i: (len(texts[i]), i))
        vectors = np.empty((len(texts), self._model.config.hidden_size), np.float32)
        for first in range(0, len(order), batch_size):
            some = order[first : first + batch_size]
            vectors[some] = self._embed([texts[i] for i in some])
        return vectors

    @torch.inference_mode()
    def _embed(self, texts: list[str]) -> npt.NDArray[np.float32]:
        tokens = self._tokenizer(
            texts, padding=True, truncation=True, max_length=self._max_tokens, return_tensors="pt"
        ).to(self._model.device)
        hidden = self._model(**tokens).last_hidden_state.float()
        mask = tokens["attention_mask"].unsqueeze(-1).float()
        mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1e-9)
        return np.asarray(torch.nn.functional.normalize(mean, dim=1).cpu().numpy())


@cache
def load(folder: Path, device: str, max_tokens: int) -> Embedder:
    """The model in a folder. Raises ConfigError where there is none."""
    torch.set_num_threads(1)
    if not (folder / "config.json").is_file():
        raise ConfigError(f"model={folder}: holds no config.json; name the folder of a Hugging Face model")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError) as error:
        raise ConfigError(f"model={folder}: cannot be loaded ({str(error).splitlines()[0]})") from error
    return Embedder(model.eval().to(device), tokenizer, max_tokens)
