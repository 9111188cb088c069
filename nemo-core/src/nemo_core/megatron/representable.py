"""What megatron.core cannot compute as a ModelConfig says is refused by name, never approximated."""

from collections.abc import Iterator

from ..config import ModelConfig, MoEConfig
from ..foundation.errors import ConfigError
from .degrees import Degrees
from .settings import NO_FP8, Fp8Settings

INSTEAD = "use implementation=native"


def check_representable(config: ModelConfig, degrees: Degrees, *, on_gpu: bool, fp8: Fp8Settings = NO_FP8) -> None:
    """Raise ConfigError naming the first setting of model, degrees or format that cannot be had here."""
    reasons = [*impossible(config), *(impossible_with_engine(config) if on_gpu else impossible_on_cpu(config, degrees))]
    reasons += [*divisible(config, degrees)]
    if fp8.format != "none" and not on_gpu:
        reasons.append(f"fp8.format={fp8.format} needs a GPU: Transformer Engine multiplies in eight bits there only")
    if reasons:
        raise ConfigError(f"implementation=megatron: {reasons[0]}; {INSTEAD}")


def impossible(config: ModelConfig) -> Iterator[str]:
    """What megatron.core cannot represent anywhere."""
    if config.mla is not None:
        yield "mla (latent attention) takes rotary tables of its own in megatron.core, ours cannot be given to it"
    if config.unturned_layers:
        yield f"unturned_layers={list(config.unturned_layers)}: megatron.core turns in every layer alike"
    if config.qk_norm == "projection":
        yield "qk_norm=projection: megatron.core normalises queries and keys per head"
    for name in ("rope", "local_rope"):
        rope = getattr(config, name)
        if rope is not None and rope.kind == "longrope":
            yield f"{name}.kind={rope.kind}: the rotary table changes with the length of the text"
        if rope is not None and rope.kind == "yarn" and rope.rotary_share != 1.0:
            yield f"{name}.rotary_share={rope.rotary_share} with yarn: its factor acts on the turned features alone"
    if config.local_rope is not None and config.local_rope.kind == "yarn":
        yield "local_rope.kind=yarn: megatron.core scales the scores of all layers alike"
    if config.local_rope is not None and config.rope is not None and config.rope.kind == "yarn":
        yield "rope.kind=yarn with local_rope: megatron.core scales the scores of all layers alike"
    if config.moe is not None:
        yield from impossible_experts(config, config.moe)


def impossible_experts(config: ModelConfig, moe: MoEConfig) -> Iterator[str]:
    """What megatron.core's router and experts compute otherwise."""
    if config.mlp_bias:
        yield "mlp_bias=true with experts: megatron.core's grouped experts have no biases"
    if config.norm.placement != "pre":
        yield f"norm.placement={config.norm.placement} with experts: a norm behind them acts on each expert by itself"
    if config.residual != "sequential":
        yield f"residual={config.residual} with experts: its layers send the normed tokens to experts in sequence"
    if moe.correction_bias and moe.score == "softmax":
        yield "moe.correction_bias with moe.score=softmax: megatron.core corrects sigmoid scores only"
    if moe.score == "sigmoid" and moe.normalize != (moe.top_k > 1):
        yield f"moe.normalize={moe.normalize} with moe.score=sigmoid: megatron.core normalises if moe.top_k is above 1"
    if moe.score == "softmax" and moe.normalize and (moe.top_k == 1 or moe.groups > 1):
        yield "moe.normalize=true with moe.score=softmax: megatron.core picks one expert, or by groups, without it only"
    if moe.groups > 1 and moe.group_best != moe.top_k // moe.top_groups:
        yield (
            f"moe.group_best={moe.group_best}: megatron.core judges a group by its best "
            f"moe.top_k // moe.top_groups = {moe.top_k // moe.top_groups}"
        )


def impossible_on_cpu(config: ModelConfig, degrees: Degrees) -> Iterator[str]:
    """What megatron.core does on a GPU only."""
    reasons = {
        "context": "its rotary embedding and attention share sequences on a GPU only",
        "expert": "it sends tokens to experts on a GPU only",
    }
    for name, reason in reasons.items():
        if getattr(degrees, name) > 1:
            yield f"parallel.{name}={getattr(degrees, name)} needs a GPU: {reason}"
    if degrees.sequence_parallel:
        yield "parallel.sequence=true needs a GPU: its collectives allocate there"
    if config.moe is not None and degrees.tensor > 1:
        yield f"parallel.tensor={degrees.tensor} with experts needs a GPU: they gather tokens on a GPU only"


def impossible_with_engine(config: ModelConfig) -> Iterator[str]:
    """What Transformer Engine cannot represent."""
    if config.attention_softcap is not None:
        yield f"attention_softcap={config.attention_softcap}: Transformer Engine's attention caps no scores"
    if config.norm.placement == "post":
        yield "norm.placement=post: Transformer Engine's layers normalise before the block"
    if config.residual == "parallel_shared_norm":
        yield "residual=parallel_shared_norm: Transformer Engine fuses a norm into each of the two blocks"
    if config.norm.kind == "layer" and (not config.norm.bias or config.qk_norm != "none"):
        yield "norm.bias=false with norm.kind=layer: Transformer Engine's layer norm has a bias"


def divisible(config: ModelConfig, degrees: Degrees) -> Iterator[str]:
    """What tensor parallelism cannot share evenly."""
    for name in ("num_heads", "num_kv_heads", "ffn_size"):
        if getattr(config, name) % degrees.tensor:
            yield f"parallel.tensor={degrees.tensor} does not divide {name}={getattr(config, name)}"
    if config.moe is not None and config.moe.num_experts % degrees.expert:
        yield f"parallel.expert={degrees.expert} does not divide moe.num_experts={config.moe.num_experts}"
    if config.moe is None and degrees.expert > 1:
        yield f"parallel.expert={degrees.expert}: this model has no experts"
    if config.num_layers % (degrees.pipeline * degrees.stages_per_process):
        stages = f"parallel.pipeline={degrees.pipeline} x parallel.stages_per_rank={degrees.stages_per_process}"
        yield f"{stages} does not divide num_layers={config.num_layers}"
