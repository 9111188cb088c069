"""The layer specification: megatron.core's own, with the parts exchanged that our ModelConfig asks for.

On a GPU the base is the Transformer Engine specification, on a CPU the local one with our attention and norm.
"""

from dataclasses import replace
from typing import Any

from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules, get_num_layers_to_build

from ..config import ModelConfig
from .attention import TorchCoreAttention
from .norm import LocalNorm


def block_spec(config: ModelConfig, settings: Any, *, transformer_engine: bool, stage: int | None = None) -> Any:
    """Specification of the layers of one pipeline stage and of the final norm."""
    layer, norm = (engine_layer if transformer_engine else local_layer)(config, settings)
    count = get_num_layers_to_build(settings, stage)
    return TransformerBlockSubmodules(layer_specs=[with_biases(layer, config, settings)] * count, layer_norm=norm)


def local_layer(config: ModelConfig, settings: Any) -> tuple[ModuleSpec, Any]:
    """A layer of megatron.core's own linear modules with our norm and attention, and the norm."""
    base = get_gpt_layer_local_spec(qk_layernorm=settings.qk_layernorm, normalization=settings.normalization)
    parts = base.submodules
    attention = replace(parts.self_attention.submodules, core_attention=TorchCoreAttention)
    if settings.qk_layernorm:
        attention = replace(attention, q_layernorm=LocalNorm, k_layernorm=LocalNorm)
    changed = replace(
        parts,
        input_layernorm=LocalNorm,
        pre_mlp_layernorm=LocalNorm,
        self_attention=replace(parts.self_attention, submodules=attention),
    )
    return replace(base, submodules=changed), LocalNorm


def engine_layer(config: ModelConfig, settings: Any) -> tuple[ModuleSpec, Any]:
    """A layer of Transformer Engine modules, and its norm."""
    from megatron.core.extensions.transformer_engine import TENorm
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_with_transformer_engine_spec

    layer = get_gpt_layer_with_transformer_engine_spec(
        num_experts=settings.num_moe_experts,
        moe_grouped_gemm=settings.moe_grouped_gemm,
        qk_layernorm=settings.qk_layernorm,
    )
    return layer, TENorm


def with_biases(layer: ModuleSpec, config: ModelConfig, settings: Any) -> ModuleSpec:
    """The layer with a bias exactly where `config` has one; megatron.core knows only all, none, and qkv alone."""
    parts = layer.submodules
    attention, mlp = parts.self_attention.submodules, parts.mlp.submodules
    qkv, output = biased(attention.linear_qkv, config.attention_bias), biased(attention.linear_proj, config.attention_bias)
    wide, narrow = biased(mlp.linear_fc1, config.mlp_bias), biased(mlp.linear_fc2, config.mlp_bias)
    changed = replace(
        parts,
        self_attention=replace(
            parts.self_attention, submodules=replace(attention, linear_qkv=qkv, linear_proj=output)
        ),
        mlp=replace(parts.mlp, submodules=replace(mlp, linear_fc1=wide, linear_fc2=narrow)),
    )
    return replace(layer, submodules=changed)


def biased(linear: Any, has_bias: bool) -> Any:
    """The linear class with its bias decided here, whatever megatron.core's settings say."""

    def __init__(self: Any, *args: Any, bias: bool, **rest: Any) -> None:
        linear.__init__(self, *args, bias=has_bias, **rest)

    return type(linear.__name__, (linear,), {"__init__": __init__})
