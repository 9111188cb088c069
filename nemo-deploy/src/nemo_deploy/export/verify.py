"""Prove that an exported folder answers as its source does, from the files that were written.

B batch, T position, V vocabulary.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nemo_core.checkpoint.folder import load_config, load_model
from nemo_core.checkpoint.tensors import dtype_name, iterate_tensors
from nemo_core.foundation.errors import ArtifactError
from nemo_core.peft.folder import load_adapter
from nemo_core.tokenizer.load import load_tokenizer

TOKENS = (2, 64)
FP32_TOLERANCE = 1e-4
BF16_TOLERANCE = 0.02  # of the logits' range: bfloat16 keeps 8 bits, and errors of layers add up
TEXTS = (
    "The quick brown fox jumps over the lazy dog.",
    "def f(x):\n\treturn {'a': [1, 23, 456.7]}  # comment\n",
    "  spaces   and\n\n\nlines\t",
    "Grüße, naïve café, Ελληνικά, русский, 日本語, العربية, 🙂👩‍👩‍👧",
    "<html>&amp; “quotes” — dashes … \\ escapes \\u0041",
)


@dataclass(frozen=True, kw_only=True)
class Verification:
    """The content of verification.json."""

    passed: bool
    dtype: str
    tensors: int
    bytes: int
    parameters: int
    tokens_compared: int
    max_abs_difference: float
    tolerance: float
    same_best_token: float
    tokenizer_texts: int
    tokenizer_exact_round_trips: int
    left_out: list[str]

    def to_plain(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)


def fixed_tokens(vocab_size: int, max_positions: int) -> Tensor:
    """Token ids [B, T] that every verification uses."""
    batch, length = TOKENS[0], min(TOKENS[1], max_positions)
    return torch.randint(vocab_size, (batch, length), generator=torch.Generator().manual_seed(0))


@torch.inference_mode()
def logits_of(folder: Path, adapter: Path | None = None) -> Tensor:
    """fp32 logits [B, T, V] on the fixed tokens."""
    model = load_model(folder)
    if adapter is not None:
        load_adapter(model, adapter)
    config = load_config(folder)
    return model.logits(model(fixed_tokens(config.vocab_size, config.max_positions)))


def check_tokenizers(source: Path, target: Path) -> int:
    """How many test texts come back exactly. Raises ArtifactError where the two tokenizers differ on any."""
    theirs, ours = load_tokenizer(source), load_tokenizer(target)
    size = load_config(target).vocab_size
    if ours.vocab_size > size:
        raise ArtifactError(
            f"{source}: its tokenizer has {ours.vocab_size} tokens, but config.json says vocab_size={size}; "
            "these do not belong together"
        )
    for text in TEXTS:
        if theirs.encode(text) != ours.encode(text):
            raise ArtifactError(f"{target}: the exported tokenizer differs from the source's on {text!r}")
    return sum(ours.decode(ours.encode(text)) == text for text in TEXTS)


def default_tolerance(dtype: torch.dtype, logits: Tensor) -> float:
    """Largest difference that rounding to `dtype` explains."""
    if dtype == torch.float32:
        return FP32_TOLERANCE
    return BF16_TOLERANCE * float(logits.max() - logits.min())


def verify(
    source: Path, adapter: Path | None, target: Path, *, tolerance: float | None, left_out: list[str]
) -> Verification:
    """Compare `target`, reloaded, with its source. Raises ArtifactError where logits are not finite or too far off."""
    round_trips = check_tokenizers(source, target)
    wanted_BTV, found_BTV = logits_of(source, adapter), logits_of(target)
    if not bool(torch.isfinite(wanted_BTV).all()):
        raise ArtifactError(f"{source}: the model's outputs are not finite; its weights are damaged, so not exported")
    tensors = [(tensor.numel(), tensor.nbytes, tensor.dtype) for _, tensor in iterate_tensors(target)]
    limit = tolerance if tolerance is not None else default_tolerance(tensors[0][2], wanted_BTV)
    difference = float((wanted_BTV - found_BTV).abs().max())
    if not difference <= limit:
        raise ArtifactError(
            f"{target}: the exported model's logits differ from the source's by {difference:.3g}, "
            f"more than tolerance={limit:.3g}; export in fp32, or allow it with tolerance="
        )
    return Verification(
        passed=True,
        dtype=dtype_name(tensors[0][2]),
        tensors=len(tensors),
        bytes=sum(size for _, size, _ in tensors),
        parameters=sum(count for count, _, _ in tensors),
        tokens_compared=wanted_BTV.shape[0] * wanted_BTV.shape[1],
        max_abs_difference=difference,
        tolerance=limit,
        same_best_token=float((wanted_BTV.argmax(-1) == found_BTV.argmax(-1)).float().mean()),
        tokenizer_texts=len(TEXTS),
        tokenizer_exact_round_trips=round_trips,
        left_out=left_out,
    )
