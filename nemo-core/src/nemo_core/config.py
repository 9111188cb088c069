"""The canonical description of a decoder: every implementation, family mapping and checkpoint agrees on it."""

from dataclasses import dataclass, field
from math import isqrt, prod
from typing import Annotated, Literal

from msgspec import Meta

from .foundation.errors import ConfigError
from .shapes import tensor_specs

Positive = Annotated[int, Meta(ge=1)]
MAX_LAYERS = 10_000  # a mistyped number is told at once, not after naming a billion tensors
Factor = Annotated[float, Meta(gt=0)]
RopeKind = Literal["default", "linear", "dynamic", "llama3", "yarn", "longrope"]
Activation = Literal["silu", "gelu", "gelu_tanh", "relu2"]
LayerKind = Literal["full", "sliding"]
Residual = Literal["sequential", "parallel", "parallel_shared_norm"]


@dataclass(frozen=True, kw_only=True)
class RopeConfig:
    """Rotary position embedding (Su et al. 2021) and how its frequencies are stretched for longer contexts.

    Raises ConfigError where the numbers contradict each other.
    """

    theta: Annotated[float, Meta(gt=0, description="base of the geometric series of frequencies")] = 10_000.0
    rotary_share: Annotated[float, Meta(gt=0, le=1, description="share of a head's features that is turned")] = 1.0
    kind: Annotated[RopeKind, Meta(description="how frequencies are scaled")] = "default"
    factor: Annotated[float, Meta(ge=1, description="context stretch (linear, dynamic, llama3, yarn)")] = 1.0
    original_positions: Annotated[int, Meta(ge=1, description="positions before stretching")] = 8192
    low_frequency_factor: Annotated[float, Meta(gt=0, description="llama3: where full scaling begins")] = 1.0
    high_frequency_factor: Annotated[float, Meta(gt=0, description="llama3: where scaling ends")] = 4.0
    beta_fast: Annotated[float, Meta(gt=0, description="yarn: turns above which a frequency is kept")] = 32.0
    beta_slow: Annotated[float, Meta(gt=0, description="yarn: turns below which it is divided by the factor")] = 1.0
    attention_factor: Annotated[
        Factor | None, Meta(description="yarn, longrope: scale of cosines and sines; default by their formula")
    ] = None
    mscale: Annotated[float | None, Meta(description="yarn (DeepSeek): numerator of the attention factor")] = None
    mscale_all: Annotated[float | None, Meta(description="yarn (DeepSeek): its denominator")] = None
    truncate: Annotated[bool, Meta(description="yarn: round the bounds of the blend to whole features")] = True
    short_factors: Annotated[
        tuple[float, ...], Meta(description="longrope: divisor of each frequency up to `original_positions`")
    ] = ()
    long_factors: Annotated[tuple[float, ...], Meta(description="longrope: divisors for longer sequences")] = ()

    def __post_init__(self) -> None:
        if self.kind == "llama3" and self.low_frequency_factor >= self.high_frequency_factor:
            raise ConfigError(
                f"rope.low_frequency_factor={self.low_frequency_factor} must be below "
                f"rope.high_frequency_factor={self.high_frequency_factor}"
            )
        if self.kind == "yarn" and self.beta_fast < self.beta_slow:
            raise ConfigError(f"rope.beta_fast={self.beta_fast} must not be below rope.beta_slow={self.beta_slow}")
        if self.kind == "longrope" and len(self.short_factors) != len(self.long_factors):
            raise ConfigError(
                f"rope.short_factors has {len(self.short_factors)} numbers, rope.long_factors "
                f"{len(self.long_factors)}: one each per frequency is needed"
            )

    def rotary_dim(self, head_dim: int) -> int:
        """How many of a head's features are turned."""
        return int(head_dim * self.rotary_share)


@dataclass(frozen=True, kw_only=True)
class NormConfig:
    """How and where hidden states are normalised; the small number added to the variance is `ModelConfig.norm_eps`."""

    kind: Annotated[Literal["rms", "layer"], Meta(description="root mean square, or mean and variance")] = "rms"
    zero_centered: Annotated[bool, Meta(description="the stored weight is the scale minus one")] = False
    bias: Annotated[bool, Meta(description="layer: has a bias")] = False
    placement: Annotated[
        Literal["pre", "post", "sandwich"],
        Meta(description="before each block (Llama), after it (OLMo 2), or both (Gemma 2)"),
    ] = "pre"

    def __post_init__(self) -> None:
        if self.kind == "rms" and self.bias:
            raise ConfigError("norm.bias=true needs norm.kind=layer: an RMS norm has no bias")


@dataclass(frozen=True, kw_only=True)
class MoEConfig:
    """Feed-forward of several experts, of which a router picks `top_k` for each token."""

    num_experts: Positive
    top_k: Positive
    ffn_size: Annotated[int, Meta(ge=1, description="width of one expert")]
    score: Annotated[Literal["softmax", "sigmoid"], Meta(description="of the router, over all experts")] = "softmax"
    normalize: Annotated[bool, Meta(description="weights of the chosen experts sum to one")] = True
    scale: Annotated[float, Meta(gt=0, description="factor on the weights (DeepSeek)")] = 1.0
    correction_bias: Annotated[
        bool, Meta(description="a bias per expert steers which are chosen, not how much they weigh (DeepSeek V3)")
    ] = False
    groups: Annotated[int, Meta(ge=1, description="groups of experts; 1 is no grouping")] = 1
    top_groups: Annotated[int, Meta(ge=1, description="groups that a token may choose from")] = 1
    group_best: Annotated[int, Meta(ge=1, description="a group is judged by the sum of its best so many")] = 2
    shared_ffn_size: Annotated[int, Meta(ge=0, description="width of the expert that every token passes; 0: none")] = 0
    shared_gate: Annotated[bool, Meta(description="each token has a share of that expert of its own (Qwen 2)")] = False
    dense_layers: Annotated[tuple[int, ...], Meta(description="layers with a plain feed-forward instead")] = ()
    balance_loss: Annotated[
        float, Meta(ge=0, description="weight of the loss that balances experts, as the folder names it")
    ] = 0.0
    balance_over: Annotated[
        Literal["batch", "sequence"],
        Meta(description="whose tokens it balances: those of all layers and rows together, or layer by row (DeepSeek)"),
    ] = "batch"
    balances: Annotated[
        bool, Meta(description="training adds it unless told otherwise (`output_router_logits`, as transformers)")
    ] = False

    def __post_init__(self) -> None:
        if self.top_k > self.num_experts:
            raise ConfigError(f"moe.top_k={self.top_k} is more than moe.num_experts={self.num_experts}")
        if self.num_experts % self.groups:
            raise ConfigError(
                f"moe.groups={self.groups} does not divide moe.num_experts={self.num_experts}; "
                f"use one of {divisors(self.num_experts)}"
            )
        if self.top_groups > self.groups:
            raise ConfigError(f"moe.top_groups={self.top_groups} is more than moe.groups={self.groups}")
        if self.shared_gate and not self.shared_ffn_size:
            raise ConfigError("moe.shared_gate=true needs moe.shared_ffn_size: it weighs the expert of all tokens")
        reachable = self.top_groups * (self.num_experts // self.groups)
        if self.top_k > reachable:
            raise ConfigError(
                f"moe.top_k={self.top_k}, but moe.top_groups={self.top_groups} leaves {reachable} experts to choose"
            )


@dataclass(frozen=True, kw_only=True)
class MLAConfig:
    """Multi-head latent attention (DeepSeek-V2, 2024): keys and values grow from one small vector per token.

    `ModelConfig.head_dim` is then the width of queries and keys: `plain_dim + rotary_dim`.
    """

    kv_rank: Annotated[int, Meta(ge=1, description="width of the vector that keys and values grow from")]
    q_rank: Annotated[Positive | None, Meta(description="the same for queries; null: projected directly")] = None
    plain_dim: Annotated[int, Meta(ge=1, description="features of a head that positions do not touch")]
    rotary_dim: Annotated[int, Meta(ge=2, description="features of a head that are turned; the key's are shared")]
    value_dim: Annotated[int, Meta(ge=1, description="width of a value")]


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Shape and options of a decoder. Widths are in features, `max_positions` in tokens.

    Raises ConfigError where the numbers contradict each other.
    """

    family: str = "llama"
    vocab_size: Positive
    hidden_size: Positive
    num_layers: Annotated[int, Meta(ge=1, le=MAX_LAYERS)]
    num_heads: Positive
    num_kv_heads: Positive
    head_dim: Positive
    ffn_size: Positive
    max_positions: Positive = 2048
    norm_eps: Annotated[float, Meta(gt=0)] = 1e-5
    norm: NormConfig = field(default_factory=NormConfig)
    rope: Annotated[RopeConfig | None, Meta(description="null: positions are learned and added at the start")] = field(
        default_factory=RopeConfig
    )
    local_rope: Annotated[RopeConfig | None, Meta(description="of sliding layers, where it differs (Gemma 3)")] = None
    unturned_layers: Annotated[tuple[int, ...], Meta(description="layers without positions (NoPE, SmolLM 3)")] = ()
    window: Annotated[Positive | None, Meta(description="sliding layers: tokens a query sees, itself included")] = None
    layer_kinds: Annotated[
        tuple[LayerKind, ...], Meta(description="of each layer; empty: all sliding where there is a window")
    ] = ()
    attention_bias: Annotated[bool, Meta(description="queries, keys and values have a bias")] = False
    output_bias: Annotated[bool, Meta(description="the attention's output has a bias")] = False
    query_scale: Annotated[Factor | None, Meta(description="factor on scores; default 1/sqrt(head_dim)")] = None
    qk_norm: Annotated[
        Literal["none", "head", "projection"], Meta(description="queries and keys are normalised per head, or whole")
    ] = "none"
    attention_softcap: Annotated[Factor | None, Meta(description="scores s become c*tanh(s/c)")] = None
    activation: Activation = "silu"
    gated_mlp: Annotated[bool, Meta(description="down(act(gate(x)) * up(x)); otherwise down(act(up(x)))")] = True
    mlp_bias: bool = False
    residual: Annotated[
        Residual,
        Meta(description="attention, then feed-forward; or both from the same input, with a norm each or one"),
    ] = "sequential"
    moe: MoEConfig | None = None
    mla: MLAConfig | None = None
    embedding_scale: Annotated[Factor | None, Meta(description="factor on embeddings, rounded to their dtype")] = None
    logit_softcap: Annotated[Factor | None, Meta(description="output scores s become c*tanh(s/c)")] = None
    tied_embeddings: bool = False
    initializer_range: Annotated[float, Meta(gt=0)] = 0.02
    bos_id: int | None = None
    eos_id: int | None = None
    more_eos_ids: Annotated[tuple[int, ...], Meta(description="further tokens that end an answer")] = ()
    pad_id: int | None = None

    def __post_init__(self) -> None:
        check_heads(self)
        check_layers(self)
        if self.residual != "sequential" and self.norm.placement != "pre":
            raise ConfigError(
                f"norm.placement={self.norm.placement} with residual={self.residual}: parallel blocks have norms before"
            )
        named = [(name, getattr(self, name)) for name in ("bos_id", "eos_id", "pad_id")]
        for name, value in [*named, *(("more_eos_ids", token) for token in self.more_eos_ids)]:
            if value is not None and not 0 <= value < self.vocab_size:
                raise ConfigError(f"{name}={value} is outside the vocabulary of {self.vocab_size} tokens")

    @property
    def value_dim(self) -> int:
        """Width of a value; that of queries and keys is `head_dim`."""
        return self.head_dim if self.mla is None else self.mla.value_dim

    @property
    def rotary_dim(self) -> int:
        """Features of a head that are turned by position: the last ones under latent attention, else the first."""
        if self.rope is None:
            return 0
        return self.rope.rotary_dim(self.head_dim) if self.mla is None else self.mla.rotary_dim

    @property
    def attention_scale(self) -> float:
        """Factor on attention scores."""
        return self.head_dim**-0.5 if self.query_scale is None else self.query_scale

    def layer_kind(self, layer: int) -> LayerKind:
        """Whether a layer sees everything before, or a window."""
        if self.layer_kinds:
            return self.layer_kinds[layer]
        return "full" if self.window is None else "sliding"

    def layer_window(self, layer: int) -> int | None:
        """How many tokens a query of `layer` sees, itself included; None: all."""
        return self.window if self.layer_kind(layer) == "sliding" else None

    def layer_rope(self, layer: int) -> RopeConfig | None:
        """How `layer` turns by position; None: not at all."""
        if layer in self.unturned_layers:
            return None
        return self.local_rope if self.local_rope and self.layer_kind(layer) == "sliding" else self.rope

    def layer_moe(self, layer: int) -> MoEConfig | None:
        """The experts of `layer`; None where it has a plain feed-forward."""
        return None if self.moe is None or layer in self.moe.dense_layers else self.moe

    @property
    def num_parameters(self) -> int:
        """Number of trained weights; tied embeddings count once."""
        return sum(prod(spec.shape) for spec in tensor_specs(self).values() if spec.trained)

    @property
    def num_active_parameters(self) -> int:
        """Those that one token passes through: of the experts, only the chosen ones."""
        if self.moe is None:
            return self.num_parameters
        idle = self.moe.num_experts - self.moe.top_k
        expert = (3 if self.gated_mlp else 2) * self.hidden_size * self.moe.ffn_size
        layers = sum(self.layer_moe(layer) is not None for layer in range(self.num_layers))
        return self.num_parameters - layers * idle * expert

    def flops_per_token(self, sequence_length: int) -> float:
        """Forward and backward floating-point operations per token, causal attention counted at half."""
        tables = 0 if self.tied_embeddings else self.vocab_size * self.hidden_size
        tables += 0 if self.rope else self.max_positions * self.hidden_size
        seen = [min(self.layer_window(layer) or sequence_length, sequence_length) for layer in range(self.num_layers)]
        half = sum(width - width**2 / (2 * sequence_length) for width in seen)
        attention = self.num_heads * (self.head_dim + self.value_dim) * half
        return 6.0 * (self.num_active_parameters - tables + attention)


def check_heads(config: ModelConfig) -> None:
    """Raise ConfigError unless heads, groups and turned features fit each other."""
    if config.num_heads % config.num_kv_heads:
        raise ConfigError(
            f"num_kv_heads={config.num_kv_heads} does not divide num_heads={config.num_heads}; "
            f"use one of {divisors(config.num_heads)}"
        )
    mla = config.mla
    if mla is not None and (
        config.head_dim != mla.plain_dim + mla.rotary_dim or config.num_kv_heads != config.num_heads
    ):
        raise ConfigError(
            f"latent attention needs head_dim={mla.plain_dim + mla.rotary_dim} (mla.plain_dim + mla.rotary_dim) and "
            f"num_kv_heads={config.num_heads}; got head_dim={config.head_dim}, num_kv_heads={config.num_kv_heads}"
        )
    if mla is not None and (config.qk_norm != "none" or config.rope is None):
        raise ConfigError("latent attention has rotary positions and no qk_norm")
    if config.rotary_dim % 2:
        raise ConfigError(
            f"head_dim={config.head_dim} is odd; rotary embedding turns pairs of features"
            if config.rotary_dim == config.head_dim
            else f"rope.rotary_share turns {config.rotary_dim} of head_dim={config.head_dim} features; it takes pairs"
        )
    for name in ("rope", "local_rope"):
        rope = getattr(config, name)
        if rope is not None and rope.kind == "longrope" and len(rope.short_factors) != config.rotary_dim // 2:
            raise ConfigError(
                f"{name}.short_factors has {len(rope.short_factors)} numbers; {config.rotary_dim} turned features need "
                f"{config.rotary_dim // 2}"
            )


def check_layers(config: ModelConfig) -> None:
    """Raise ConfigError unless what is said of single layers fits their number."""
    if config.layer_kinds and len(config.layer_kinds) != config.num_layers:
        raise ConfigError(f"layer_kinds names {len(config.layer_kinds)} layers, num_layers={config.num_layers}")
    if "sliding" in config.layer_kinds and config.window is None:
        raise ConfigError("layer_kinds has sliding layers, but window is not set")
    if config.local_rope is not None and config.rope is None:
        raise ConfigError("local_rope needs rope: learned positions are added once, for all layers")
    named = {
        "moe.dense_layers": config.moe.dense_layers if config.moe else (),
        "unturned_layers": config.unturned_layers,
    }
    for name, layers in named.items():
        outside = [layer for layer in layers if not 0 <= layer < config.num_layers]
        if outside:
            raise ConfigError(f"{name} names layer {outside[0]}; there are layers 0 to {config.num_layers - 1}")


def divisors(number: int) -> list[int]:
    """Every divisor of `number`, rising."""
    small = [d for d in range(1, isqrt(number) + 1) if number % d == 0]
    return sorted({*small, *(number // d for d in small)})
