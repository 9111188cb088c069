"""megatron.core's TransformerConfig of a ModelConfig."""

from typing import Any

import torch
import torch.nn.functional as F
from megatron.core.transformer import TransformerConfig

from ..config import ModelConfig
from .layout import Layout


def transformer_settings(config: ModelConfig, layout: Layout, *, on_gpu: bool, dtype: torch.dtype) -> Any:
    """The settings of every layer. On a CPU nothing is fused; biases are decided by the specification."""
    return TransformerConfig(
        num_layers=config.num_layers,
        hidden_size=config.hidden_size,
        num_attention_heads=config.num_heads,
        num_query_groups=config.num_kv_heads,
        kv_channels=config.head_dim,
        ffn_hidden_size=config.ffn_size,
        normalization="RMSNorm",
        layernorm_epsilon=config.norm_eps,
        gated_linear_unit=True,
        activation_func=F.silu,
        add_bias_linear=False,
        hidden_dropout=0.0,
        attention_dropout=0.0,
        params_dtype=dtype,
        bf16=dtype is torch.bfloat16,
        pipeline_dtype=dtype,
        use_cpu_initialization=not on_gpu,
        perform_initialization=False,
        tensor_model_parallel_size=layout.tensor,
        pipeline_model_parallel_size=layout.pipeline,
        context_parallel_size=layout.context,
        expert_model_parallel_size=layout.expert,
        sequence_parallel=layout.sequence_parallel,
    )
