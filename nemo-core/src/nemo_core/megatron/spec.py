"""The layer specification: megatron.core's own, with the parts exchanged that our ModelConfig asks for.

On a GPU the base is the Transformer Engine specification, on a CPU the local one with our attention and norm.
"""

from dataclasses import replace
from typing import Any

from megatron.core.models.gpt.gpt_layer_specs import (
    get_gpt_layer_local_spec,
    get_gpt_layer_with_transformer_engine_spec,
)
from megatron.core.transformer.identity_op import IdentityOp
from megatron.core.transformer.spec_utils import ModuleSpec
from megatron.core.transformer.transformer_block import TransformerBlockSubmodules, get_num_layers_to_build

from ..config import ModelConfig
from .attention import TorchCoreAttention, capped_core_attention, self_attention_of_kinds
from .layer import ParallelLayer, SharedNormParallelLayer
from .norm import LocalNorm, UnbiasedLocalNorm, normed


def block_spec(config: ModelConfig, settings: Any, *, transformer_engine: bool, stage: int | None = None) -> Any:
    """Specification of the layers of one pipeline stage and of the final norm."""
    layer, norm = (engine_layer if transformer_engine else local_layer)(config, settings)
    layer = with_layer_class(with_attention_class(with_linear_classes(layer, config, norm), config), config)
    return TransformerBlockSubmodules(layer_specs=[layer] * get_num_layers_to_build(settings, stage), layer_norm=norm)


def local_layer(config: ModelConfig, settings: Any) -> tuple[ModuleSpec, Any]:
    """A layer of megatron.core's own linear modules with our norm and attention, and the norm."""
    base = get_gpt_layer_local_spec(qk_layernorm=settings.qk_layernorm, normalization=settings.normalization)
    norm = LocalNorm if config.norm.bias else UnbiasedLocalNorm
    parts, cap = base.submodules, config.attention_softcap
    core = TorchCoreAttention if cap is None else capped_core_attention(cap)
    attention = replace(parts.self_attention.submodules, core_attention=core)
    if settings.qk_layernorm:
        attention = replace(attention, q_layernorm=UnbiasedLocalNorm, k_layernorm=UnbiasedLocalNorm)
    has_norm_before = config.norm.placement != "post"
    changed = replace(
        parts,
        input_layernorm=norm if has_norm_before else IdentityOp,
        pre_mlp_layernorm=norm if has_norm_before and config.residual != "parallel_shared_norm" else IdentityOp,
        self_attention=replace(parts.self_attention, submodules=attention),
    )
    return replace(base, submodules=changed), norm


def engine_layer(config: ModelConfig, settings: Any) -> tuple[ModuleSpec, Any]:
    """A layer of Transformer Engine modules, and its norm."""
    from megatron.core.extensions.transformer_engine import TENorm

    return get_gpt_layer_with_transformer_engine_spec(qk_layernorm=settings.qk_layernorm), TENorm


def with_linear_classes(layer: ModuleSpec, config: ModelConfig, norm: Any) -> ModuleSpec:
    """The layer with biases where `config` has them, and norms behind both blocks where it has those."""
    parts = layer.submodules
    attention, mlp = parts.self_attention.submodules, parts.mlp.submodules
    output, narrow = biased(attention.linear_proj, config.output_bias), biased(mlp.linear_fc2, config.mlp_bias)
    if config.norm.placement != "pre":
        output, narrow = normed(output, norm), normed(narrow, norm)
    attention = replace(attention, linear_qkv=biased(attention.linear_qkv, config.attention_bias), linear_proj=output)
    mlp = replace(mlp, linear_fc1=biased(mlp.linear_fc1, config.mlp_bias), linear_fc2=narrow)
    changed = replace(
        parts,
        self_attention=replace(parts.self_attention, submodules=attention),
        mlp=replace(parts.mlp, submodules=mlp),
    )
    return replace(layer, submodules=changed)


def biased(linear: Any, has_bias: bool) -> Any:
    """The linear class with its bias decided here: megatron.core's settings know all, none, or queries to values."""

    class DecidedLinear(linear):  # type: ignore[misc]
        """A linear layer that does not ask megatron.core's settings for its bias."""

        def __init__(self, *args: Any, bias: bool, **rest: Any) -> None:
            super().__init__(*args, bias=has_bias, **rest)

    return DecidedLinear


def with_attention_class(layer: ModuleSpec, config: ModelConfig) -> ModuleSpec:
    """The layer with an attention that picks its kind's rotary table, where there are two kinds (Gemma 3)."""
    if config.local_rope is None:
        return layer
    kinds = tuple(int(config.layer_kind(number) == "sliding") for number in range(config.num_layers))
    attention = replace(layer.submodules.self_attention, module=self_attention_of_kinds(kinds))
    return replace(layer, submodules=replace(layer.submodules, self_attention=attention))


def with_layer_class(layer: ModuleSpec, config: ModelConfig) -> ModuleSpec:
    """The layer whose blocks both start from its input, where `config` wants that (Falcon)."""
    classes = {"parallel": ParallelLayer, "parallel_shared_norm": SharedNormParallelLayer}
    return layer if config.residual == "sequential" else replace(layer, module=classes[config.residual])
