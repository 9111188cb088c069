"""What megatron.core cannot compute as a ModelConfig says is refused by name, never approximated."""

from collections.abc import Iterator

from ..config import ModelConfig
from ..foundation.errors import ConfigError
from ..model.rope import attention_factor
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
        yield from impossible_latents(config)
    if config.mla is not None and (config.unturned_layers or config.local_rope is not None):
        yield "unturned_layers or local_rope with mla: latent attention is turned alike in every layer here"
    if config.qk_norm == "projection" and (config.norm.kind != "rms" or config.norm.zero_centered):
        norm = f"norm.kind={config.norm.kind}, norm.zero_centered={config.norm.zero_centered}"
        yield f"{norm} with qk_norm=projection: whole queries and keys have plain root-mean-square norms here"
    rope, local = config.rope, config.local_rope
    if local is not None and local.kind == "longrope":
        yield "local_rope.kind=longrope: the rotary tables of two kinds of layer would change with the text's length"
    for name, one in (("rope", rope), ("local_rope", local)):
        if one is None or attention_factor(one) == 1:
            continue
        if one.rotary_share != 1.0:
            share = f"{name}.rotary_share={one.rotary_share}"
            yield f"{share} with {one.kind}: its factor acts on the turned features alone"
    if config.moe is not None:
        yield from impossible_experts(config)


def impossible_experts(config: ModelConfig) -> Iterator[str]:
    """What megatron.core's router and experts compute otherwise."""
    if config.mlp_bias:
        yield "mlp_bias=true with experts: megatron.core's grouped experts have no biases"
    if config.norm.placement != "pre":
        yield f"norm.placement={config.norm.placement} with experts: a norm behind them acts on each expert by itself"
    if config.residual != "sequential":
        yield f"residual={config.residual} with experts: its layers send the normed tokens to experts in sequence"


def impossible_latents(config: ModelConfig) -> Iterator[str]:
    """What latent attention has no place for in megatron.core."""
    for name in ("attention_bias", "output_bias"):
        if getattr(config, name):
            yield f"{name}=true with mla: megatron.core's latent attention has no biases"
    if config.norm.kind != "rms" or config.norm.zero_centered:
        norm = f"norm.kind={config.norm.kind}, norm.zero_centered={config.norm.zero_centered}"
        yield f"{norm} with mla: latent vectors have plain root-mean-square norms"


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
    for name in ("ffn_size", "shared_ffn_size") if config.moe is not None else ():
        if getattr(config.moe, name) % degrees.tensor:
            yield f"parallel.tensor={degrees.tensor} does not divide moe.{name}={getattr(config.moe, name)}"
    if config.moe is not None and config.moe.num_experts % degrees.expert:
        yield f"parallel.expert={degrees.expert} does not divide moe.num_experts={config.moe.num_experts}"
    if config.moe is None and degrees.expert > 1:
        yield f"parallel.expert={degrees.expert}: this model has no experts"
    if config.num_layers % (degrees.pipeline * degrees.stages_per_process):
        stages = f"parallel.pipeline={degrees.pipeline} x parallel.stages_per_rank={degrees.stages_per_process}"
        yield f"{stages} does not divide num_layers={config.num_layers}"
