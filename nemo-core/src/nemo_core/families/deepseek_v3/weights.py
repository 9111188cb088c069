"""Tensors of a DeepSeek folder: the features that positions turn lie as pairs."""

from ...checkpoint.mapping.transforms import PairOrder, Transform
from ...config import ModelConfig
from ..layout import Layout


def layout(config: ModelConfig) -> Layout:
    """Pairs become halves in every query head and in the shared part of the key."""
    assert config.mla is not None
    mla = config.mla
    query = PairOrder(config.head_dim, mla.rotary_dim, mla.plain_dim)
    shared_key = PairOrder(mla.kv_rank + mla.rotary_dim, mla.rotary_dim, mla.kv_rank)
    name = "self_attn.q_proj" if mla.q_rank is None else "self_attn.q_b_proj"
    transforms: dict[str, Transform] = {name: query, "self_attn.kv_a_proj_with_mqa": shared_key}
    more_tokens = rf"^model\.layers\.{config.num_layers}\."  # predicts further tokens; transformers leaves it out, too
    return Layout(transforms=transforms, ignored=(r"rotary_emb\.inv_freq$", more_tokens))
