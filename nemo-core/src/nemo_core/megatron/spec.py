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
from megatron.core.transformer.transformer_layer import get_transformer_layer_offset

from ..config import ModelConfig, MoEConfig
from ..model.rope import attention_factor
from .attention import TorchCoreAttention, capped_core_attention, scaled_by_layer, self_attention_of_kinds
from .experts import cpu_moe_layer
from .latent import LatentSelfAttention, WholeLinear
from .layer import ParallelLayer, SharedNormParallelLayer
from .norm import LocalNorm, UnbiasedLocalNorm, normed, projection_norm
from .router import router_by
from .transformer import softmax_scales

FUSED_MLP_NORM = {"pre_mlp_layernorm.": "mlp.linear_fc1.layer_norm_"}
LATENT_NAMES = {
    "self_attention.q_layernorm.": "self_attention.linear_q_up_proj.layer_norm_",
    "self_attention.kv_layernorm.": "self_attention.linear_kv_up_proj.layer_norm_",
}


def block_spec(config: ModelConfig, settings: Any, *, transformer_engine: bool, stage: int | None = None) -> Any:
    """Specification of the layers of one pipeline stage and of the final norm."""
    make = engine_layer if transformer_engine else local_layer
    first = get_transformer_layer_offset(settings, vp_stage=stage)
    kinds = [config.layer_moe(first + n) for n in range(get_num_layers_to_build(settings, vp_stage=stage))]
    made = {moe: make(config, settings, moe) for moe in set(kinds)}
    finished = {moe: finished_layer(layer, config, norm, moe) for moe, (layer, norm) in made.items()}
    return TransformerBlockSubmodules(layer_specs=[finished[moe] for moe in kinds], layer_norm=made[kinds[0]][1])


def finished_layer(layer: ModuleSpec, config: ModelConfig, norm: Any, moe: MoEConfig | None) -> ModuleSpec:
    """A layer with the parts exchanged that `config` asks for."""
    layer = with_attention_biases(layer, config, norm)
    layer = layer if moe is not None else with_mlp_biases(layer, config, norm)
    return with_layer_class(with_attention_class(layer, config), config)


def local_layer(config: ModelConfig, settings: Any, moe: MoEConfig | None) -> tuple[ModuleSpec, Any]:
    """A layer of megatron.core's own linear modules with our norm and attention, and the norm."""
    base = get_gpt_layer_local_spec(
        num_experts=moe.num_experts if moe is not None else None,
        qk_layernorm=settings.qk_layernorm,
        multi_latent_attention=config.mla is not None,
        normalization=settings.normalization,
    )
    norm = LocalNorm if config.norm.bias else UnbiasedLocalNorm
    base = with_latents(base, config, norm, moe)
    parts, cap = base.submodules, config.attention_softcap
    core = TorchCoreAttention if cap is None else capped_core_attention(cap)
    attention = replace(parts.self_attention.submodules, core_attention=core)
    if config.mla is not None:
        attention = replace(attention, linear_q_down_proj=WholeLinear, linear_kv_down_proj=WholeLinear)
    if settings.qk_layernorm:
        attention = replace(attention, q_layernorm=UnbiasedLocalNorm, k_layernorm=UnbiasedLocalNorm)
    has_norm_before = config.norm.placement != "post"
    changed = replace(
        parts,
        input_layernorm=norm if has_norm_before else IdentityOp,
        pre_mlp_layernorm=norm if has_norm_before and config.residual != "parallel_shared_norm" else IdentityOp,
        self_attention=replace(parts.self_attention, submodules=attention),
    )
    return replace(base, submodules=changed if moe is None else with_router(changed, moe, on_gpu=False)), norm


def with_latents(layer: ModuleSpec, config: ModelConfig, norm: Any, moe: MoEConfig | None) -> ModuleSpec:
    """The layer with our latent attention, saved under the names that Transformer Engine gives; or as it is."""
    if config.mla is None:
        return layer
    assert config.rope is not None
    parts = layer.submodules
    params = {**parts.self_attention.params, "mla": config.mla, "turned_factor": attention_factor(config.rope)}
    attention = replace(parts.self_attention.submodules, q_layernorm=norm, kv_layernorm=norm)
    spec = ModuleSpec(module=LatentSelfAttention, params=params, submodules=attention)
    names = LATENT_NAMES if moe is not None else LATENT_NAMES | FUSED_MLP_NORM
    return replace(layer, submodules=replace(parts, self_attention=spec, sharded_state_dict_keys_map=names))


def with_router(parts: Any, moe: MoEConfig, *, on_gpu: bool) -> Any:
    """A layer with experts and our router; the norm before them is saved under the name Transformer Engine gives it."""
    experts = replace(parts.mlp.submodules, router=router_by(moe, on_gpu=on_gpu))
    names = {name: key for name, key in parts.sharded_state_dict_keys_map.items() if "mlp" not in name}
    mlp = replace(parts.mlp, submodules=experts) if on_gpu else cpu_moe_layer(experts)
    return replace(parts, mlp=mlp, sharded_state_dict_keys_map=names)


def engine_layer(config: ModelConfig, settings: Any, moe: MoEConfig | None) -> tuple[ModuleSpec, Any]:
    """A layer of Transformer Engine modules, and its norm."""
    from megatron.core.extensions.transformer_engine import TENorm

    layer = get_gpt_layer_with_transformer_engine_spec(
        num_experts=moe.num_experts if moe is not None else None,
        moe_grouped_gemm=moe is not None,
        qk_layernorm=settings.qk_layernorm,
        multi_latent_attention=config.mla is not None,
    )
    layer = with_latents(layer, config, TENorm, moe)
    if moe is not None:
        layer = replace(layer, submodules=with_router(layer.submodules, moe, on_gpu=True))
    return layer, TENorm


def with_attention_biases(layer: ModuleSpec, config: ModelConfig, norm: Any) -> ModuleSpec:
    """The layer with an attention that has biases where `config` has them, and a norm behind it where it has that."""
    parts = layer.submodules
    attention = parts.self_attention.submodules
    output = biased(attention.linear_proj, config.output_bias)
    output = output if config.norm.placement == "pre" else normed(output, norm)
    attention = replace(attention, linear_proj=output)
    if config.mla is None:
        attention = replace(attention, linear_qkv=biased(attention.linear_qkv, config.attention_bias))
    if config.qk_norm == "projection":
        norms = (projection_norm(heads) for heads in (config.num_heads, config.num_kv_heads))
        attention = replace(attention, q_layernorm=next(norms), k_layernorm=next(norms))
    changed = replace(parts, self_attention=replace(parts.self_attention, submodules=attention))
    return replace(layer, submodules=changed)


def with_mlp_biases(layer: ModuleSpec, config: ModelConfig, norm: Any) -> ModuleSpec:
    """The same of a plain feed-forward."""
    parts = layer.submodules
    mlp = parts.mlp.submodules
    narrow = biased(mlp.linear_fc2, config.mlp_bias)
    narrow = narrow if config.norm.placement == "pre" else normed(narrow, norm)
    mlp = replace(mlp, linear_fc1=biased(mlp.linear_fc1, config.mlp_bias), linear_fc2=narrow)
    return replace(layer, submodules=replace(parts, mlp=replace(parts.mlp, submodules=mlp)))


def biased(linear: Any, has_bias: bool) -> Any:
    """The linear class with its bias decided here: megatron.core's settings know all, none, or queries to values."""

    class DecidedLinear(linear):  # type: ignore[misc]
        """A linear layer that does not ask megatron.core's settings for its bias."""

        def __init__(self, *args: Any, bias: bool, **rest: Any) -> None:
            super().__init__(*args, bias=has_bias, **rest)

    return DecidedLinear


def with_attention_class(layer: ModuleSpec, config: ModelConfig) -> ModuleSpec:
    """The layer with an attention that picks its layer's rotary table, where there are two (Gemma 3), or takes none."""
    attention, scales = layer.submodules.self_attention, softmax_scales(config)
    if len(set(scales)) > 1:
        core = scaled_by_layer(attention.submodules.core_attention, scales)
        attention = replace(attention, submodules=replace(attention.submodules, core_attention=core))
    if config.local_rope is not None or config.unturned_layers:
        ropes = [config.rope, config.local_rope] if config.local_rope is not None else [config.rope]
        used = [config.layer_rope(number) for number in range(config.num_layers)]
        kinds = tuple(None if rope is None else ropes.index(rope) for rope in used)
        attention = replace(attention, module=self_attention_of_kinds(kinds, tables=len(ropes)))
    return replace(layer, submodules=replace(layer.submodules, self_attention=attention))


def with_layer_class(layer: ModuleSpec, config: ModelConfig) -> ModuleSpec:
    """The layer whose blocks both start from its input, where `config` wants that (Falcon)."""
    classes = {"parallel": ParallelLayer, "parallel_shared_norm": SharedNormParallelLayer}
    return layer if config.residual == "sequential" else replace(layer, module=classes[config.residual])
