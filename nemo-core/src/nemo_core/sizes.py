"""One dial for beginners: a size name gives a whole model shape."""

from dataclasses import dataclass
from typing import Literal

from .config import ModelConfig

SizeName = Literal["nano", "micro", "mini", "small", "base"]


@dataclass(frozen=True)
class Size:
    """Depth and width; everything else follows."""

    layers: int
    hidden: int
    head_dim: int


SIZES: dict[str, Size] = {
    "nano": Size(4, 128, 32),
    "micro": Size(6, 192, 32),
    "mini": Size(6, 320, 64),
    "small": Size(8, 512, 64),
    "base": Size(12, 768, 64),
}


def model_config(size: SizeName, *, vocab_size: int, max_positions: int, eos_id: int, pad_id: int) -> ModelConfig:
    """A Llama shape of the named size: ffn 8/3 of the hidden width, one KV head per two heads, tied embeddings."""
    shape = SIZES[size]
    heads = shape.hidden // shape.head_dim
    return ModelConfig(
        vocab_size=vocab_size,
        hidden_size=shape.hidden,
        num_layers=shape.layers,
        num_heads=heads,
        num_kv_heads=heads // 2 if heads % 2 == 0 else heads,
        head_dim=shape.head_dim,
        ffn_size=-(-shape.hidden * 8 // 3 // 32) * 32,
        max_positions=max_positions,
        tied_embeddings=True,
        eos_id=eos_id,
        pad_id=pad_id,
    )
