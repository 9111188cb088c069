"""A model whose hidden states are pooled to one unit vector for each text.

B batch, M candidates, T position, E hidden width.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..checkpoint.folder import copy_tokenizer, load_model, read_json, save_model, write_json
from ..config import ModelConfig
from ..encoder.config import EncoderConfig
from ..encoder.folder import load_encoder, save_bert
from ..encoder.model import Encoder
from ..foundation import atomic
from ..foundation.errors import ArtifactError, InputError
from ..model.decoder import Decoder
from ..tokenizer.load import Tokenizer, load_tokenizer, optional_json
from .settings import Pooling

POOLING = "1_Pooling"
MODES: dict[Literal["mean", "cls", "last"], str] = {
    "mean": "pooling_mode_mean_tokens",
    "cls": "pooling_mode_cls_token",
    "last": "pooling_mode_lasttoken",
}


class Embedder(nn.Module):
    """`body` with its hidden states pooled; a decoder is pooled over tokens that have seen what is before them."""

    def __init__(self, body: Encoder | Decoder, pooling: Literal["mean", "cls", "last"]) -> None:
        super().__init__()
        self.body, self.pooling = body, pooling

    @property
    def config(self) -> ModelConfig | EncoderConfig:
        """Settings of the body."""
        return self.body.config

    def flops_per_token(self, sequence_length: int) -> float:
        """Of a training step: 6 for each weight but the tables; attention is left out, as texts are short."""
        tables = [module.weight.numel() for module in self.modules() if isinstance(module, nn.Embedding)]
        head = getattr(self.body, "lm_head", None)
        unused = sum(tables) + (0 if head is None else head.weight.numel())
        return 6.0 * (sum(weight.numel() for weight in self.parameters()) - unused)

    def forward(self, ids_BT: Tensor, lengths_B: Tensor) -> Tensor:
        """Unit vectors, [B, E]; rows are filled up on the right from `lengths_B` on."""
        seen_BT = torch.arange(ids_BT.shape[1], device=ids_BT.device) < lengths_B[:, None]
        hidden_BTE = self.body(ids_BT, seen_BT) if isinstance(self.body, Encoder) else self.body(ids_BT)
        return unit(pool(hidden_BTE, seen_BT, lengths_B, self.pooling))


def pool(hidden_BTE: Tensor, seen_BT: Tensor, lengths_B: Tensor, pooling: str) -> Tensor:
    """One vector for each row: the mean of its tokens, its first or its last. [B, E]."""
    if pooling == "cls":
        return hidden_BTE[:, 0]
    if pooling == "last":
        return hidden_BTE[torch.arange(len(hidden_BTE), device=hidden_BTE.device), lengths_B - 1]
    return (hidden_BTE * seen_BT[..., None]).sum(1) / lengths_B[:, None]


def unit(vectors_NE: Tensor) -> Tensor:
    """The vectors at length 1."""
    return F.normalize(vectors_NE, dim=-1)


def load_embedder(folder: Path, pooling: Pooling, *, device: str | torch.device = "cpu") -> Embedder:
    """The embedding model of a folder. "auto" pools as the folder's 1_Pooling says; without one, an encoder by the mean
    and a decoder by the last token.
    """
    is_encoder = read_json(folder / "config.json").get("model_type") == "bert"
    body = load_encoder(folder) if is_encoder else load_model(folder)
    if pooling == "auto":
        pooling = saved_pooling(folder) or ("mean" if is_encoder else "last")
    return Embedder(body, pooling).to(device).eval()


def saved_pooling(folder: Path) -> Literal["mean", "cls", "last"] | None:
    """How a sentence-transformers folder pools; None where it does not say. ArtifactError for a way we do not know."""
    path = folder / POOLING / "config.json"
    if not path.is_file():
        return None
    values = read_json(path)
    named = values.get("pooling_mode")
    chosen = [mode for mode, key in MODES.items() if values.get(key) or named in (mode, key)]
    if len(chosen) != 1:
        raise ArtifactError(f"{path}: pools neither by mean, nor by first, nor by last token alone")
    return chosen[0]


def save_embedder(model: Embedder, folder: Path, *, tokenizer: Path, max_tokens: int) -> None:
    """Write the model, its tokenizer, and the files by which sentence-transformers pools and normalises as we do."""
    if isinstance(model.body, Encoder):
        save_bert(model.body, folder)
    else:
        save_model(model.body, folder)
    copy_tokenizer(tokenizer, folder)
    if isinstance(model.body, Decoder) and not is_sentence_model(tokenizer):
        end_texts(folder)
    width = model.body.config.hidden_size
    modules = [("", "Transformer"), (POOLING, "Pooling"), ("2_Normalize", "Normalize")]
    entries: list[dict[str, Any]] = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(modules)
    ]
    atomic.write_text(folder / "modules.json", json.dumps(entries, indent=2) + "\n")
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": max_tokens, "do_lower_case": False})
    (folder / POOLING).mkdir(exist_ok=True)
    (folder / "2_Normalize").mkdir(exist_ok=True)
    modes: dict[str, Any] = {key: mode == model.pooling for mode, key in MODES.items()}
    write_json(folder / POOLING / "config.json", {"word_embedding_dimension": width, **modes})


def is_sentence_model(folder: Path) -> bool:
    """Whether a folder is one of sentence-transformers, whose tokenizer says itself how a text begins and ends."""
    return (folder / "modules.json").is_file()


def end_texts(folder: Path) -> None:
    """Let the tokenizer of a decoder's folder put the end token behind each text itself, where it does not yet.

    The vector is taken there, and who else reads the folder tokenises as its tokenizer.json says.
    """
    from tokenizers.processors import TemplateProcessing

    tokenizer = load_tokenizer(folder)
    ids, bare = tokenizer.encode_prompt("x"), tokenizer.encode("x")
    if tokenizer.eos_id in (None, ids[-1]):
        return
    ends = [*ids[: len(ids) - len(bare)], tokenizer.eos_id]
    names = {tokenizer.backend.id_to_token(token): token for token in ends}
    first = [tokenizer.backend.id_to_token(token) for token in ends[:-1]]
    tokenizer.backend.post_processor = TemplateProcessing(
        single=[*first, "$A", tokenizer.backend.id_to_token(tokenizer.eos_id)], special_tokens=list(names.items())
    )
    atomic.write_text(folder / "tokenizer.json", tokenizer.backend.to_str(pretty=True))
    config = optional_json(folder / "tokenizer_config.json")
    write_json(folder / "tokenizer_config.json", {**config, "tokenizer_class": "PreTrainedTokenizerFast"})


@dataclasses.dataclass(frozen=True)
class TextEncoder:
    """Texts to rows of ids as the tokenizer begins and ends them; `adds_end` puts a decoder's end token behind each."""

    tokenizer: Tokenizer
    adds_end: bool
    max_tokens: int

    def ids(self, text: str) -> list[int]:
        """Ids of one text, cut to `max_tokens`; the last stays the last."""
        found = self.tokenizer.encode_prompt(text)
        end = self.tokenizer.eos_id
        if self.adds_end and end is not None and found[-1:] != [end]:
            found.append(end)
        if not found:
            raise InputError(f"the text {text!r} has no tokens")
        return found if len(found) <= self.max_tokens else [*found[: self.max_tokens - 1], found[-1]]

    def rows(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Rows filled up on the right, and their lengths."""
        ids = [self.ids(text) for text in texts]
        lengths_B = torch.tensor([len(row) for row in ids])
        ids_BT = torch.zeros(len(ids), int(lengths_B.max()), dtype=torch.int64)
        for number, row in enumerate(ids):
            ids_BT[number, : len(row)] = torch.tensor(row)
        return ids_BT, lengths_B


def text_encoder(model: Embedder, folder: Path, *, max_tokens: int) -> TextEncoder:
    """The text encoder of a folder. Raises InputError where tokenizer or length do not fit the model."""
    tokenizer = load_tokenizer(folder)
    config = model.body.config
    if tokenizer.vocab_size > config.vocab_size:
        raise InputError(f"{folder}: its tokenizer has {tokenizer.vocab_size} ids, its model {config.vocab_size}")
    adds_end = isinstance(model.body, Decoder) and not is_sentence_model(folder)
    return TextEncoder(tokenizer, adds_end, min(max_tokens, config.max_positions))
