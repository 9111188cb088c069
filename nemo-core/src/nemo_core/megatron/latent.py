"""Multi-head latent attention (DeepSeek-V2, 2024) for megatron.core, in the place of its own `MLASelfAttention`.

That one makes its rotary table itself, on a GPU; this one takes ours, and has the same parts under the same names. What
one vector per token holds (the norms, the part of the key that all heads share) is whole on every tensor-parallel rank,
the heads are shared out.

T places, B rows, N packed places, E hidden width, H this rank's heads, D width of queries and keys, R turned features,
C width of the latent vector, V width of a value.
"""

from typing import Any

import torch
from megatron.core import parallel_state
from megatron.core.models.common.embeddings.rope_utils import apply_rotary_pos_emb
from megatron.core.tensor_parallel import gather_from_sequence_parallel_region
from megatron.core.transformer.module import MegatronModule
from megatron.core.transformer.multi_latent_attention import MLASelfAttentionSubmodules
from megatron.core.transformer.spec_utils import build_module
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ..config import MLAConfig
from ..model.latent import LATENT_NORM_EPS
from .collectives import for_own_part


class WholeLinear(nn.Linear):
    """A linear layer that every tensor-parallel rank has whole; takes the arguments a spec passes."""

    def __init__(self, input_size: int, output_size: int, *, config: Any, **_: Any) -> None:
        super().__init__(input_size, output_size, bias=False, dtype=config.params_dtype)

    def forward(self, x: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        """[..., I] -> [..., O]; no bias is left to add."""
        return super().forward(x), None


class LatentSelfAttention(MegatronModule):  # type: ignore[misc]
    """Queries, keys and values grown from one small vector per token; takes the arguments a layer passes.

    `turned_factor` is what yarn multiplies the turned features of queries and of keys by.
    """

    def __init__(
        self,
        config: Any,
        submodules: MLASelfAttentionSubmodules,
        layer_number: int,
        *,
        mla: MLAConfig,
        turned_factor: float,
        attn_mask_type: Any,
        cp_comm_type: str | None = None,
        pg_collection: Any = None,
    ) -> None:
        super().__init__(config)
        self.mla, self.turned_factor, self.attn_mask_type = mla, turned_factor, attn_mask_type
        self.layer_number, self.cp_group = layer_number, parallel_state.get_context_parallel_group()
        heads, hidden = config.num_attention_heads, config.hidden_size
        self.heads = heads // parallel_state.get_tensor_model_parallel_world_size()
        queries, grown = heads * config.kv_channels, heads * (mla.plain_dim + mla.value_dim)
        if mla.q_rank is None:
            self.linear_q_proj = self.by_heads(submodules.linear_q_proj, hidden, queries, "q_proj")
        else:
            self.linear_q_down_proj = self.whole(submodules.linear_q_down_proj, hidden, mla.q_rank, "q_down_proj")
            self.q_layernorm = self.norm(submodules.q_layernorm, mla.q_rank)
            self.linear_q_up_proj = self.by_heads(submodules.linear_q_up_proj, mla.q_rank, queries, "q_up_proj")
        latent = mla.kv_rank + mla.rotary_dim
        self.linear_kv_down_proj = self.whole(submodules.linear_kv_down_proj, hidden, latent, "kv_down_proj")
        self.kv_layernorm = self.norm(submodules.kv_layernorm, mla.kv_rank)
        self.linear_kv_up_proj = self.by_heads(submodules.linear_kv_up_proj, mla.kv_rank, grown, "kv_up_proj")
        self.core_attention = build_module(
            submodules.core_attention,
            config=config,
            layer_number=layer_number,
            attn_mask_type=attn_mask_type,
            attention_type="self",
            softmax_scale=config.softmax_scale,
            k_channels=config.kv_channels,
            v_channels=mla.value_dim,
            cp_comm_type=cp_comm_type,
            pg_collection=pg_collection,
        )
        self.linear_proj = build_module(
            submodules.linear_proj,
            heads * mla.value_dim,
            hidden,
            config=config,
            init_method=config.output_layer_init_method,
            bias=False,
            input_is_parallel=True,
            skip_bias_add=True,
            is_expert=False,
            tp_comm_buffer_name="proj",
        )
        self.recomputes = config.recompute_granularity == "selective" and "core_attn" in config.recompute_modules

    def by_heads(self, linear: Any, inputs: int, outputs: int, buffer: str) -> Any:
        """A layer whose outputs tensor-parallel ranks share."""
        options = {"gather_output": False, "bias": False, "skip_bias_add": False, "is_expert": False}
        init = self.config.init_method
        return build_module(
            linear, inputs, outputs, config=self.config, init_method=init, tp_comm_buffer_name=buffer, **options
        )

    def whole(self, linear: Any, inputs: int, outputs: int, buffer: str) -> Any:
        """A layer that every rank has whole; under sequence parallelism it computes its own places."""
        options = {"bias": False, "skip_bias_add": False, "skip_weight_param_allocation": False, "is_expert": False}
        init = self.config.init_method
        return build_module(
            linear,
            inputs,
            outputs,
            parallel_mode="duplicated",
            config=self.config,
            init_method=init,
            tp_comm_buffer_name=buffer,
            **options,
        )

    def norm(self, norm: Any, width: int) -> Any:
        """The norm of a latent vector, whose small number is no setting of DeepSeek's folders."""
        return build_module(norm, config=self.config, hidden_size=width, eps=LATENT_NORM_EPS)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None,
        *,
        rotary_pos_emb: Tensor,
        packed_seq_params: Any = None,
        **_: Any,
    ) -> tuple[Tensor, Tensor | None]:
        """[T,B,E] -> [T,B,E] and the output's bias, which there is not; packed as [N,1,E]."""
        starts = None if packed_seq_params is None else packed_seq_params.cu_seqlens_q
        angles = rotary_pos_emb, starts
        query = self.queries(hidden_states, angles)
        key, value = self.keys_and_values(hidden_states, angles)

        def mix(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
            mixed: Tensor = self.core_attention(
                query,
                key,
                value,
                attention_mask,
                attn_mask_type=self.attn_mask_type,
                packed_seq_params=packed_seq_params,
            )
            return mixed

        recomputes = self.recomputes and self.training
        mixed = checkpoint(mix, query, key, value, use_reentrant=False) if recomputes else mix(query, key, value)
        output: tuple[Tensor, Tensor | None] = self.linear_proj(mixed if starts is None else mixed.flatten(1)[:, None])
        return output

    def queries(self, hidden_TBE: Tensor, angles: tuple[Tensor, Tensor | None]) -> Tensor:
        """This rank's heads, [T,B,H,D] or, packed, [N,H,D]."""
        if self.mla.q_rank is None:
            flat, _ = self.linear_q_proj(hidden_TBE)
        else:
            flat, _ = self.linear_q_up_proj(self.q_layernorm(self.linear_q_down_proj(hidden_TBE)[0]))
        query = self.split_heads(flat, packed=angles[1] is not None)
        plain, turned = query.split([self.mla.plain_dim, self.mla.rotary_dim], -1)
        return torch.cat([plain, self.turn(turned, *angles)], -1).contiguous()

    def keys_and_values(self, hidden_TBE: Tensor, angles: tuple[Tensor, Tensor | None]) -> tuple[Tensor, Tensor]:
        """This rank's heads, [T,B,H,D] and [T,B,H,V], or packed."""
        both, _ = self.linear_kv_down_proj(hidden_TBE)
        latent_TBC, shared_TBR = both.split([self.mla.kv_rank, self.mla.rotary_dim], -1)
        grown, _ = self.linear_kv_up_proj(self.kv_layernorm(latent_TBC))
        is_packed = angles[1] is not None
        plain, value = self.split_heads(grown, packed=is_packed).split([self.mla.plain_dim, self.mla.value_dim], -1)
        shared = self.for_own_heads(shared_TBR)
        turned = self.turn((shared[:, 0] if is_packed else shared).unsqueeze(-2), *angles)
        key = torch.cat([plain, turned.expand(*plain.shape[:-1], -1)], -1)
        return key.contiguous(), value.contiguous()

    def split_heads(self, flat: Tensor, *, packed: bool) -> Tensor:
        """[T,B,H*D] -> [T,B,H,D]; packed: [N,1,H*D] -> [N,H,D]."""
        by_head: Tensor = (flat[:, 0] if packed else flat).unflatten(-1, (self.heads, -1))
        return by_head

    def for_own_heads(self, shared_TBR: Tensor) -> Tensor:
        """What all heads share, at all places; its gradient is that of the heads of all ranks."""
        if self.config.sequence_parallel:
            gathered: Tensor = gather_from_sequence_parallel_region(shared_TBR)
            return gathered
        return for_own_part(shared_TBR)

    def turn(self, paired: Tensor, angles: Tensor, starts: Tensor | None) -> Tensor:
        """Turn features that lie as pairs, [..., heads, R]; what comes out lies as halves."""
        halves = torch.cat([paired[..., 0::2], paired[..., 1::2]], -1)
        turned: Tensor = apply_rotary_pos_emb(
            halves, angles, config=self.config, cu_seqlens=starts, cp_group=self.cp_group
        )
        return turned if self.turned_factor == 1 else turned * self.turned_factor
