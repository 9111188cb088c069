"""Multi-head latent attention (DeepSeek-V2, 2024).

B batch, T query, S key, H heads, D head width (plain and turned features), R turned features, C rank of the latent
vector, V value width, E hidden width.
"""

import torch
from torch import Tensor, nn

from ..config import MLAConfig, ModelConfig
from .attention import LayerCache, Mixer
from .linear import Linear
from .rope import Rotation, rotate

LATENT_NORM_EPS = 1e-6


class LatentAttention(Mixer):
    """Keys and values grow from one small vector per token; a turned part of the key is shared by all heads."""

    def __init__(self, config: ModelConfig, mla: MLAConfig) -> None:
        super().__init__(config)
        hidden, heads, bias = config.hidden_size, config.num_heads, config.attention_bias
        self.mla = mla
        queries = heads * config.head_dim
        if mla.q_rank is None:
            self.q_proj = Linear(hidden, queries, bias=False)
        else:
            self.q_a_proj = Linear(hidden, mla.q_rank, bias=bias)
            self.q_a_layernorm = nn.RMSNorm(mla.q_rank, eps=LATENT_NORM_EPS)
            self.q_b_proj = Linear(mla.q_rank, queries, bias=False)
        self.kv_a_proj_with_mqa = Linear(hidden, mla.kv_rank + mla.rotary_dim, bias=bias)
        self.kv_a_layernorm = nn.RMSNorm(mla.kv_rank, eps=LATENT_NORM_EPS)
        self.kv_b_proj = Linear(mla.kv_rank, heads * (mla.plain_dim + mla.value_dim), bias=False)
        self.o_proj = Linear(heads * mla.value_dim, hidden, bias=config.output_bias)

    def queries(self, x_BTE: Tensor, rotation: Rotation) -> Tensor:
        """[B,T,E] -> [B,H,T,D], the last R features turned."""
        if self.mla.q_rank is None:
            flat = self.q_proj(x_BTE)
        else:
            flat = self.q_b_proj(self.q_a_layernorm(self.q_a_proj(x_BTE)))
        q_BHTD = flat.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        plain, turned = q_BHTD.split([self.mla.plain_dim, self.mla.rotary_dim], -1)
        return torch.cat([plain, rotate(turned, *rotation)], -1)

    def keys_and_values(self, x_BTE: Tensor, rotation: Rotation) -> tuple[Tensor, Tensor]:
        """[B,T,E] -> [B,H,T,D] and [B,H,T,V]."""
        latent_BTC, shared_BTR = self.kv_a_proj_with_mqa(x_BTE).split([self.mla.kv_rank, self.mla.rotary_dim], -1)
        grown = self.kv_b_proj(self.kv_a_layernorm(latent_BTC))
        grown_BHT = grown.unflatten(-1, (-1, self.mla.plain_dim + self.mla.value_dim)).transpose(1, 2)
        plain, v_BHTV = grown_BHT.split([self.mla.plain_dim, self.mla.value_dim], -1)
        turned_B1TR = rotate(shared_BTR[:, None], *rotation)
        return torch.cat([plain, turned_B1TR.expand(-1, plain.shape[1], -1, -1)], -1), v_BHTV

    def forward(
        self,
        x_BTE: Tensor,
        rotation: Rotation,
        allowed_BHTS: Tensor | None = None,
        cache: LayerCache | None = None,
    ) -> Tensor:
        """Attend causally, or where `allowed_BHTS` is true; the cache holds grown keys and values."""
        q_BHTD = self.queries(x_BTE, rotation)
        k_BHSD, v_BHSV = self.keys_and_values(x_BTE, rotation)
        if cache is not None:
            k_BHSD, v_BHSV = cache.extend(k_BHSD, v_BHSV)
        mixed_BTE: Tensor = self.o_proj(self.mix(q_BHTD, k_BHSD, v_BHSV, allowed_BHTS))
        return mixed_BTE
