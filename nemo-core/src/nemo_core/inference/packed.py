"""A decoder's weights laid out for generation: one product for queries, keys and values, one for gate and up.

N rows, T prompt positions, S cached positions, E hidden width, H query heads, K key/value heads, G = H/K, D head width.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..model.decoder import Decoder, Layer
from ..model.rope import rotate
from ..peft.lora import LoraLinear
from .kv_cache import KVCache


@dataclass(frozen=True)
class Linear:
    """A weight [O, I] and its bias [O] or None."""

    weight: Tensor
    bias: Tensor | None

    def __call__(self, x: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        return F.linear(x, self.weight, self.bias)


@dataclass(frozen=True)
class PackedLayer:
    """One layer: norms, and four products instead of seven."""

    attention_norm: Tensor
    qkv: Linear
    out: Linear
    mlp_norm: Tensor
    gate_up: Linear
    down: Linear


def effective_weight(module: nn.Linear | LoraLinear) -> Tensor:
    """The weight [O, I] of a linear layer, its adapter added in."""
    if not isinstance(module, LoraLinear):
        return module.weight.detach()
    return (module.base.weight + module.delta_OI()).detach() if module.enabled else module.base.weight.detach()


def pack(*modules: nn.Linear | LoraLinear) -> Linear:
    """Linear layers that read the same input, as one."""
    weights = [effective_weight(module) for module in modules]
    bases = [module.base if isinstance(module, LoraLinear) else module for module in modules]
    biases = [base.bias.detach() for base in bases if base.bias is not None]
    if len(modules) == 1:
        return Linear(weights[0], biases[0] if biases else None)
    return Linear(torch.cat(weights), torch.cat(biases) if biases else None)


class PackedDecoder:
    """Reads prompts and adds tokens; numerically the decoder it was made from. Later changes of that are not seen."""

    def __init__(self, model: Decoder) -> None:
        self.config = config = model.config
        self.embedding = model.model.embed_tokens.weight.detach()
        self.final_norm = model.model.norm.weight.detach()
        self.head_VE = model.head_weight.detach()
        self.cos_PD = model.cos_PD.to(self.embedding.dtype)
        self.sin_PD = model.sin_PD.to(self.embedding.dtype)
        self.splits = [config.num_heads * config.head_dim, *[config.num_kv_heads * config.head_dim] * 2]
        with torch.no_grad():
            self.layers = [pack_layer(layer) for layer in model.model.layers if isinstance(layer, Layer)]

    def norm(self, x: Tensor, weight: Tensor) -> Tensor:
        """RMS normalisation."""
        return F.rms_norm(x, weight.shape, weight, self.config.norm_eps)

    def project(self, layer: PackedLayer, x_NTE: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries [N,H,T,D], keys and values [N,K,T,D], turned by position."""
        width = self.config.head_dim
        normed = self.norm(x_NTE, layer.attention_norm)
        q, k, v = (part.unflatten(-1, (-1, width)).transpose(1, 2) for part in layer.qkv(normed).split(self.splits, -1))
        return rotate(q, cos, sin), rotate(k, cos, sin), v

    def finish_layer(self, layer: PackedLayer, x_NTE: Tensor, mixed_NHTD: Tensor) -> Tensor:
        """Attention output and feed-forward, each added."""
        x_NTE = x_NTE + layer.out(mixed_NHTD.transpose(1, 2).flatten(2))
        gate, up = layer.gate_up(self.norm(x_NTE, layer.mlp_norm)).chunk(2, -1)
        return x_NTE + layer.down(F.silu(gate) * up)

    def prefill(self, ids_NT: Tensor) -> tuple[Tensor, Tensor]:
        """Hidden states [N,T,E] of right-padded prompts, and their keys and values [L,2,N,K,T,D]."""
        length = ids_NT.shape[1]
        cos, sin = self.cos_PD[:length], self.sin_PD[:length]
        x_NTE = F.embedding(ids_NT, self.embedding)
        stored = []
        for layer in self.layers:
            q, k, v = self.project(layer, x_NTE, cos, sin)
            stored.append(torch.stack([k, v]))
            grouped = self.config.num_kv_heads != self.config.num_heads
            mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=grouped)
            x_NTE = self.finish_layer(layer, x_NTE, mixed)
        return self.norm(x_NTE, self.final_norm), torch.stack(stored)

    def decode(self, ids_N: Tensor, cache: KVCache) -> Tensor:
        """Add one token to each running row and give its hidden state, [N,E]; the cache has grown by a position."""
        rows, span = len(ids_N), max(cache.lengths) + 1
        at_N = cache.length_N[:rows]
        row_N = torch.arange(rows, device=ids_N.device)
        cos, sin = self.cos_PD[at_N][:, None], self.sin_PD[at_N][:, None]
        seen_N11S = (torch.arange(span, device=ids_N.device) <= at_N[:, None])[:, None, None]
        x_NTE = F.embedding(ids_N, self.embedding)[:, None]
        for index, layer in enumerate(self.layers):
            q_NHTD, k_NKTD, v_NKTD = self.project(layer, x_NTE, cos, sin)
            k_NKSD, v_NKSD = cache.store_L2NKSD[index, 0], cache.store_L2NKSD[index, 1]
            k_NKSD[row_N, :, at_N] = k_NKTD[:, :, 0]
            v_NKSD[row_N, :, at_N] = v_NKTD[:, :, 0]
            q_NKGD = q_NHTD.reshape(rows, self.config.num_kv_heads, -1, self.config.head_dim)
            mixed = F.scaled_dot_product_attention(
                q_NKGD, k_NKSD[:rows, :, :span], v_NKSD[:rows, :, :span], attn_mask=seen_N11S
            )
            x_NTE = self.finish_layer(layer, x_NTE, mixed.reshape(q_NHTD.shape))
        cache.advance()
        return self.norm(x_NTE, self.final_norm)[:, 0]

    def logits(self, hidden_NE: Tensor) -> Tensor:
        """Scores over the vocabulary in fp32, [N,V]."""
        return (hidden_NE @ self.head_VE.T).float()


def pack_layer(layer: Layer) -> PackedLayer:
    """Pack one layer of a decoder."""
    attention, mlp = layer.self_attn, layer.mlp
    return PackedLayer(
        attention_norm=layer.input_layernorm.weight.detach(),
        qkv=pack(attention.q_proj, attention.k_proj, attention.v_proj),
        out=pack(attention.o_proj),
        mlp_norm=layer.post_attention_layernorm.weight.detach(),
        gate_up=pack(mlp.gate_proj, mlp.up_proj),
        down=pack(mlp.down_proj),
    )
