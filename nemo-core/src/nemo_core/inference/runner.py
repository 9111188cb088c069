"""Runs a decoder's weights over the tokens of one step: all of them together, attention per slot.

N tokens of the step, B decoding slots, T tokens of one prompt chunk, S cached positions, E hidden width, F wide width,
H query heads, K key/value heads, G = H/K, X = H + 2K, D head width, R slots, P positions, V vocabulary.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import ModelConfig, NormConfig
from ..foundation.errors import ConfigError
from ..model.attention import Attention
from ..model.decoder import Decoder, Layer
from ..model.mlp import GatedMLP
from ..model.rope import rotate
from .batch import Batch, Decoding
from .kv_cache import KVCache
from .projection import Projection, fuse
from .scheduler import Chunk

PLAIN: dict[str, object] = {
    "norm": NormConfig(),
    "window": None,
    "query_scale": None,
    "qk_norm": "none",
    "attention_softcap": None,
    "activation": "silu",
    "gated_mlp": True,
    "residual": "sequential",
    "moe": None,
    "mla": None,
    "embedding_scale": None,
    "logit_softcap": None,
}


def check_supported(config: ModelConfig) -> None:
    """Raise ConfigError naming what this runner does not compute."""
    foreign = [f"{name}={getattr(config, name)}" for name, value in PLAIN.items() if getattr(config, name) != value]
    if config.rope is None or config.rope.kind == "longrope":
        foreign.append("learned positions" if config.rope is None else "rope.kind=longrope")
    if foreign:
        raise ConfigError(f"the inference engine does not run a model with {', '.join(foreign)}")


class RunnerLayer:
    """One layer's weights as inference wants them: projections of the same input fused."""

    def __init__(self, layer: Layer) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        before, between = layer.input_layernorm, layer.post_attention_layernorm
        assert isinstance(attention, Attention) and isinstance(mlp, GatedMLP)
        assert isinstance(before, nn.RMSNorm) and isinstance(between, nn.RMSNorm)
        self.input_norm_E = before.weight.detach()
        self.qkv = fuse([attention.q_proj, attention.k_proj, attention.v_proj])
        self.out = fuse([attention.o_proj])
        self.mlp_norm_E = between.weight.detach()
        self.gate_up = fuse([mlp.gate_proj, mlp.up_proj])
        self.down = fuse([mlp.down_proj])


class Runner:
    """The weights of `model` as they are now, adapters merged; take a new one after training."""

    def __init__(self, model: Decoder) -> None:
        config = model.config
        check_supported(config)
        self.config = config
        self.num_heads, self.num_kv_heads, self.head_dim = config.num_heads, config.num_kv_heads, config.head_dim
        self.embedding_VE = model.model.embed_tokens.weight.detach()
        self.cos_PD = model.cos_PD.to(self.embedding_VE.dtype)
        self.sin_PD = model.sin_PD.to(self.embedding_VE.dtype)
        self.layers = [RunnerLayer(layer) for layer in model.model.layers if isinstance(layer, Layer)]
        assert isinstance(model.model.norm, nn.RMSNorm)
        self.norm_E = model.model.norm.weight.detach()
        self.head = Projection(model.head_weight.detach(), None)

    def hidden(self, batch: Batch, cache: KVCache) -> Tensor:
        """Hidden states after the final norm, [N, E]; stores the tokens' keys and values."""
        x_NE = F.embedding(batch.ids_N, self.embedding_VE)
        rotation = self.cos_PD[batch.positions_N], self.sin_PD[batch.positions_N]
        for index, layer in enumerate(self.layers):
            qkv_NXD = layer.qkv(self.normed(x_NE, layer.input_norm_E)).unflatten(-1, (-1, self.head_dim))
            x_NE = x_NE + layer.out(self.attend(qkv_NXD, rotation, cache.layer(index), batch))
            gate_NF, up_NF = layer.gate_up(self.normed(x_NE, layer.mlp_norm_E)).chunk(2, -1)
            x_NE = x_NE + layer.down(F.silu(gate_NF) * up_NF)
        return self.normed(x_NE, self.norm_E)

    def normed(self, x_NE: Tensor, weight_E: Tensor) -> Tensor:
        """RMS normalisation."""
        return F.rms_norm(x_NE, weight_E.shape, weight_E, self.config.norm_eps)

    def logits(self, hidden_NE: Tensor) -> Tensor:
        """Scores over the vocabulary in fp32, [N, V]."""
        return self.head(hidden_NE).float()

    def attend(
        self, qkv_NXD: Tensor, rotation: tuple[Tensor, Tensor], cache: tuple[Tensor, Tensor], batch: Batch
    ) -> Tensor:
        """Mixed values of every token, [N, H*D]; stores its keys and values first."""
        turned = self.num_heads + self.num_kv_heads
        qk_NXD = rotate(qkv_NXD[:, :turned].transpose(0, 1), *rotation).transpose(0, 1)
        q_NHD, k_NKD = qk_NXD.split([self.num_heads, self.num_kv_heads], 1)
        k_RKPD, v_RKPD = cache
        k_RKPD[batch.slots_N, :, batch.positions_N] = k_NKD
        v_RKPD[batch.slots_N, :, batch.positions_N] = qkv_NXD[:, turned:]
        parts = []
        start = 0
        if batch.decoding is not None:
            start = batch.decoding.count
            parts.append(self.attend_decoding(q_NHD[:start], cache, batch.decoding))
        for chunk in batch.prompts:
            stop = start + chunk.stop - chunk.start
            parts.append(self.attend_prompt(q_NHD[start:stop], cache, chunk))
            start = stop
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def attend_decoding(self, q_BHD: Tensor, cache: tuple[Tensor, Tensor], decoding: Decoding) -> Tensor:
        """One query per slot over its cached positions, query heads grouped by the key head they share. [B, H*D]."""
        k_BKSD, v_BKSD = (part_RKPD[decoding.rows, :, : decoding.span] for part_RKPD in cache)
        q_BKGD = q_BHD.unflatten(1, (self.num_kv_heads, -1)) * self.head_dim**-0.5
        score_BKGS = (q_BKGD @ k_BKSD.mT).float() + decoding.bias_B11S
        mixed_BKGD: Tensor = score_BKGS.softmax(-1).to(v_BKSD.dtype) @ v_BKSD
        return mixed_BKGD.flatten(1)

    def attend_prompt(self, q_THD: Tensor, cache: tuple[Tensor, Tensor], chunk: Chunk) -> Tensor:
        """Causal attention of one chunk over its slot. [T, H*D]."""
        k_1KSD, v_1KSD = (part_RKPD[chunk.slot : chunk.slot + 1, :, : chunk.stop] for part_RKPD in cache)
        allowed_TS = None
        if chunk.start:
            query_T1 = torch.arange(chunk.start, chunk.stop, device=q_THD.device)[:, None]
            allowed_TS = torch.arange(chunk.stop, device=q_THD.device) <= query_T1
        mixed_1HTD = F.scaled_dot_product_attention(
            q_THD.transpose(0, 1)[None],
            k_1KSD,
            v_1KSD,
            attn_mask=allowed_TS,
            is_causal=allowed_TS is None,
            enable_gqa=self.num_heads != self.num_kv_heads,
        )
        return mixed_1HTD[0].transpose(0, 1).flatten(1)
