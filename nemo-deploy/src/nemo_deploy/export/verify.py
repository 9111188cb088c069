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
from nemo_core.model.decoder import Decoder
from nemo_core.peft.folder import load_adapter
from nemo_core.peft.merge import merge_adapters
from nemo_core.tokenizer.load import load_tokenizer

TOKENS = (2, 64)
TOLERANCE = 1e-4
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
    max_abs_difference_rounded: float
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
def logits_of(folder: Path, adapter: Path | None = None, *, rounded: torch.dtype | None = None) -> Tensor:
    """fp32 logits [B, T, V] on the fixed tokens; of the weights, an adapter merged, as the dtype `rounded` has them."""
    model = load_model(folder)
    if adapter is not None:
        load_adapter(model, adapter)
    if rounded is not None:
        round_weights(merge_adapters(model) if adapter is not None else model, rounded)
    config = load_config(folder)
    return model.logits(model(fixed_tokens(config.vocab_size, config.max_positions)))


def round_weights(model: Decoder, dtype: torch.dtype) -> None:
    """Give every number that a model folder holds the nearest value that `dtype` has."""
    for tensor in model.state_dict().values():
        tensor.copy_(tensor.to(dtype))


def largest(difference: Tensor) -> float:
    """The largest size of a number."""
    return float(difference.abs().max())


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


def verify(
    source: Path, adapter: Path | None, target: Path, *, tolerance: float | None, left_out: list[str]
) -> Verification:
    """Compare `target`, reloaded, with its source. Raises ArtifactError where logits are not finite or too far off.

    Without a `tolerance` the source's weights are rounded as the target's were before they are compared: what rounding
    itself changes depends on the model (a token may go to another expert), and says nothing of what was written.
    """
    round_trips = check_tokenizers(source, target)
    wanted_BTV, found_BTV = logits_of(source, adapter), logits_of(target)
    if not bool(torch.isfinite(wanted_BTV).all()):
        raise ArtifactError(f"{source}: the model's outputs are not finite; its weights are damaged, so not exported")
    tensors = [(tensor.numel(), tensor.nbytes, tensor.dtype) for _, tensor in iterate_tensors(target)]
    dtype = tensors[0][2]
    rounded_BTV = wanted_BTV if dtype == torch.float32 else logits_of(source, adapter, rounded=dtype)
    difference, beyond_rounding = largest(wanted_BTV - found_BTV), largest(rounded_BTV - found_BTV)
    limit = max(TOLERANCE, tolerance or 0.0)
    if not beyond_rounding <= limit:
        raise ArtifactError(
            f"{target}: the exported model's logits differ by {beyond_rounding:.3g} from those of the source's weights "
            f"in {dtype_name(dtype)}, more than {limit:.3g}; its files are not what was meant: export again"
        )
    if tolerance is not None and not difference <= tolerance:
        raise ArtifactError(
            f"{target}: the exported model's logits differ from the source's by {difference:.3g}, "
            f"more than tolerance={tolerance:.3g}; export in fp32, or allow it with tolerance="
        )
    return Verification(
        passed=True,
        dtype=dtype_name(dtype),
        tensors=len(tensors),
        bytes=sum(size for _, size, _ in tensors),
        parameters=sum(count for count, _, _ in tensors),
        tokens_compared=wanted_BTV.shape[0] * wanted_BTV.shape[1],
        max_abs_difference=difference,
        max_abs_difference_rounded=beyond_rounding,
        tolerance=tolerance if tolerance is not None else TOLERANCE,
        same_best_token=float((wanted_BTV.argmax(-1) == found_BTV.argmax(-1)).float().mean()),
        tokenizer_texts=len(TEXTS),
        tokenizer_exact_round_trips=round_trips,
        left_out=left_out,
    )
