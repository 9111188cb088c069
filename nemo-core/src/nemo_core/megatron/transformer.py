"""megatron.core's TransformerConfig of a ModelConfig."""

import functools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import torch
import torch.nn.functional as F
from megatron.core.transformer import TransformerConfig
from torch import Tensor

from ..config import ModelConfig, MoEConfig
from ..model.rope import attention_factor
from .degrees import Degrees
from .router import own_routing
from .settings import NO_FP8, Fp8Settings


def squared_relu(x: Tensor) -> Tensor:
    """relu(x)² (So et al. 2021)."""
    return F.relu(x).square()


ACTIVATIONS = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": functools.partial(F.gelu, approximate="tanh"),
    "relu2": squared_relu,
}


def transformer_settings(
    config: ModelConfig,
    degrees: Degrees,
    *,
    on_gpu: bool,
    dtype: torch.dtype,
    fp8: Fp8Settings = NO_FP8,
    training: Mapping[str, Any] = MappingProxyType({}),
) -> Any:
    """The settings of every layer. On a CPU nothing is fused; biases are decided by the specification."""
    return TransformerConfig(
        **architecture(config),
        **experts(config, on_gpu=on_gpu),
        **(recommended(config, fp8) if on_gpu else {}),
        **training,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        params_dtype=dtype,
        bf16=dtype is torch.bfloat16,
        pipeline_dtype=dtype,
        use_cpu_initialization=not on_gpu,
        perform_initialization=False,
        tensor_model_parallel_size=degrees.tensor,
        pipeline_model_parallel_size=degrees.pipeline,
        virtual_pipeline_model_parallel_size=degrees.stages_per_process if degrees.stages_per_process > 1 else None,
        context_parallel_size=degrees.context,
        expert_model_parallel_size=degrees.expert,
        sequence_parallel=degrees.sequence_parallel,
    )


def architecture(config: ModelConfig) -> dict[str, Any]:
    """Shapes and switches of the layers."""
    return {
        "num_layers": config.num_layers,
        "hidden_size": config.hidden_size,
        "num_attention_heads": config.num_heads,
        "num_query_groups": config.num_kv_heads,
        "kv_channels": config.head_dim,
        "ffn_hidden_size": config.ffn_size,
        "normalization": "RMSNorm" if config.norm.kind == "rms" else "LayerNorm",
        "layernorm_zero_centered_gamma": config.norm.zero_centered,
        "layernorm_epsilon": config.norm_eps,
        "qk_layernorm": config.qk_norm == "head",
        "gated_linear_unit": config.gated_mlp,
        "activation_func": ACTIVATIONS[config.activation],
        "add_bias_linear": False,
        "softmax_scale": softmax_scales(config)[0],  # a core attention of ours knows its layer's, where they differ
        **windows(config),
    }


def experts(config: ModelConfig, *, on_gpu: bool) -> dict[str, Any]:
    """The experts; how they are picked and balanced is decided by our router and our loss.

    On a GPU experts are multiplied together and tokens sent to them; on a CPU one after another, all tokens everywhere.
    """
    moe = config.moe
    if moe is None:
        return {}
    return {
        "num_moe_experts": moe.num_experts,
        "moe_layer_freq": [int(config.layer_moe(layer) is not None) for layer in range(config.num_layers)]
        if moe.dense_layers
        else 1,
        "moe_ffn_hidden_size": moe.ffn_size,
        "moe_shared_expert_intermediate_size": moe.shared_ffn_size or None,
        "moe_shared_expert_gate": moe.shared_gate,
        "moe_router_topk": moe.top_k,
        **routing(moe, on_gpu=on_gpu),
        "moe_router_enable_expert_bias": moe.correction_bias,
        "moe_router_bias_update_rate": 0.0,
        "moe_router_dtype": "fp32",
        "moe_router_load_balancing_type": "none",
        "moe_aux_loss_coeff": 0.0,
        "moe_token_dispatcher_type": "alltoall" if on_gpu else "allgather",
        "moe_grouped_gemm": on_gpu,
        "moe_permute_fusion": on_gpu,
    }


def routing(moe: MoEConfig, *, on_gpu: bool) -> dict[str, Any]:
    """Settings of megatron.core's own router, which decides on a GPU where it decides alike, by its fused kernels."""
    own = own_routing(moe)
    if own is None:
        return {"moe_router_score_function": "sigmoid"}  # as it wants beside a bias; our router scores by `moe.score`
    return {**own, "moe_router_fusion": on_gpu}


def softmax_scales(config: ModelConfig) -> tuple[float, ...]:
    """The factor on scores of each layer. Yarn lengthens every turned query and key; here the scores take both factors.

    Under latent attention a query is turned in part only, so there the turned features take it.
    """
    ropes = [None if config.mla is not None else config.layer_rope(layer) for layer in range(config.num_layers)]
    return tuple(config.attention_scale * (1.0 if rope is None else attention_factor(rope) ** 2) for rope in ropes)


def windows(config: ModelConfig) -> dict[str, Any]:
    """Which layers see a window; megatron.core counts the places to the left of a query, without the query."""
    if config.window is None:
        return {}
    windowed = [int(config.layer_window(layer) is not None) for layer in range(config.num_layers)]
    return {"window_size": (config.window - 1, 0), "window_attn_skip_freq": windowed}


def recommended(config: ModelConfig, fp8: Fp8Settings) -> dict[str, Any]:
    """The fusions that current recipes turn on, as far as they leave the numbers alone.

    The fused bias and plain GELU is another GELU, so that one is off; fused gradient accumulation needs megatron.core's
    own gradient buffers.
    """
    eight_bits = {} if fp8.format == "none" else {"fp8": fp8.format, "fp8_recipe": fp8.recipe}
    return {
        "bias_activation_fusion": config.gated_mlp and config.activation == "silu",
        "bias_dropout_fusion": True,
        "masked_softmax_fusion": True,
        "persist_layer_norm": True,
        "apply_rope_fusion": True,
        **eight_bits,
    }
