"""Settings of the adapter methods; this module imports nothing heavy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from ..foundation.errors import ConfigError

MethodName = Literal["lora", "dora", "ia3", "prompt", "ptuning", "adapter", "parallel_adapter"]
Targets = Annotated[
    tuple[str, ...], Meta(min_length=1, description="last parts of names, or patterns over whole names")
]
Copies = Annotated[tuple[str, ...], Meta(description="modules trained whole beside the adapter, e.g. lm_head")]
Size = Annotated[int, Meta(ge=1)]
Scale = Annotated[float, Meta(gt=0)]


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """Low-rank adapters: LoRA (Hu et al. 2021), and with `method=dora` DoRA (Liu et al. 2024)."""

    rank: Annotated[int, Meta(ge=1, description="rank of each update")] = 16
    alpha: Annotated[float, Meta(gt=0, description="the update is scaled by alpha / rank")] = 32.0
    dropout: Annotated[float, Meta(ge=0, lt=1, description="share of the update's input dropped in training")] = 0.0
    rank_stabilized: Annotated[
        bool, Meta(description="scale by alpha / sqrt(rank) instead (rsLoRA, Kalajdzievski 2023)")
    ] = False
    rank_pattern: Annotated[dict[str, Size], Meta(description="regular expression over names: a rank of their own")] = (
        field(default_factory=dict)
    )
    alpha_pattern: Annotated[
        dict[str, Scale], Meta(description="regular expression over names: an alpha of their own")
    ] = field(default_factory=dict)
    quantize: Annotated[
        Literal["none", "nf4"],
        Meta(description="nf4: keep the frozen weights in 4 bits (QLoRA, Dettmers et al. 2023); needs bitsandbytes"),
    ] = "none"
    modules_to_save: Copies = ()
    targets: Annotated[
        tuple[str, ...],
        Meta(description="last parts of names, or patterns over whole names; none: every linear layer but the head"),
    ] = ()


@dataclass(frozen=True, kw_only=True)
class Ia3Settings:
    """Learnt scales of keys, values and the feed-forward's inner features, IA3 (Liu et al. 2022)."""

    targets: Targets = ("k_proj", "v_proj", "down_proj")
    feedforward: Annotated[
        tuple[str, ...], Meta(description="targets whose input is scaled; of the others it is the output")
    ] = ("down_proj",)
    modules_to_save: Copies = ()


@dataclass(frozen=True, kw_only=True)
class PromptSettings:
    """Learnt embeddings before every sequence, prompt tuning (Lester et al. 2021)."""

    num_tokens: Annotated[int, Meta(ge=1, description="virtual tokens; they take up positions of the model")] = 20
    init: Annotated[
        Literal["vocabulary", "random", "text"],
        Meta(description="start from embeddings of random tokens, from noise, or from those of `text`"),
    ] = "vocabulary"
    text: Annotated[str, Meta(description="init=text: repeated or cut to num_tokens")] = ""

    def __post_init__(self) -> None:
        if (self.init == "text") != bool(self.text):
            raise ConfigError(f"init={self.init!r} with text={self.text!r}: give both init=text and a text, or neither")


@dataclass(frozen=True, kw_only=True)
class PTuningSettings:
    """Virtual tokens whose embeddings a small network makes, P-tuning (Liu et al. 2021)."""

    num_tokens: Annotated[int, Meta(ge=1, description="virtual tokens; they take up positions of the model")] = 20
    encoder: Annotated[Literal["mlp", "lstm"], Meta(description="network that makes their embeddings")] = "mlp"
    hidden_size: Annotated[int, Meta(ge=0, description="width of that network; 0: the model's")] = 0
    num_layers: Annotated[int, Meta(ge=1, description="layers of the lstm; an mlp has three")] = 2
    dropout: Annotated[float, Meta(ge=0, lt=1, description="dropout between layers of the lstm")] = 0.0

    def __post_init__(self) -> None:
        if self.encoder == "mlp" and (self.num_layers != 2 or self.dropout):
            raise ConfigError("ptuning.num_layers and ptuning.dropout belong to ptuning.encoder=lstm")


@dataclass(frozen=True, kw_only=True)
class BottleneckSettings:
    """Small feed-forward networks at attention and feed-forward blocks.

    After a block's output (Houlsby et al. 2019) or beside the block, from its input (He et al. 2022).
    """

    size: Annotated[int, Meta(ge=1, description="width of the bottleneck")] = 32
    activation: Annotated[Literal["relu", "gelu", "silu", "tanh"], Meta(description="between the two layers")] = "silu"
    norm: Annotated[Literal["none", "pre", "post"], Meta(description="layer norm before or after the two layers")] = (
        "pre"
    )
    scale: Annotated[float, Meta(gt=0, description="factor of what is added")] = 1.0
    dropout: Annotated[float, Meta(ge=0, lt=1, description="share of what is added that is dropped in training")] = 0.0
    modules_to_save: Copies = ()
    targets: Targets = ("self_attn", "mlp")


AdapterSettings = LoraSettings | Ia3Settings | PromptSettings | PTuningSettings | BottleneckSettings


@dataclass(frozen=True, kw_only=True)
class AdapterChoice:
    """A method and the settings of each; those of the others are unused."""

    method: Annotated[
        Literal["full", MethodName],
        Meta(description="full: every weight learns; otherwise the kind of adapter that does, kept in adapter/"),
    ] = "full"
    merge: Annotated[
        bool,
        Meta(
            description="add the adapter into the written model, where it is a change of weights; false: adapter only"
        ),
    ] = True
    lora: LoraSettings = field(default_factory=LoraSettings)
    ia3: Ia3Settings = field(default_factory=Ia3Settings)
    prompt: PromptSettings = field(default_factory=PromptSettings)
    ptuning: PTuningSettings = field(default_factory=PTuningSettings)
    adapter: BottleneckSettings = field(default_factory=BottleneckSettings)

    @property
    def is_quantized(self) -> bool:
        """Whether frozen weights are kept in four bits."""
        return self.method in ("lora", "dora") and self.lora.quantize != "none"

    @property
    def chosen(self) -> AdapterSettings:
        """Settings of the method, which is not "full"."""
        own: dict[str, AdapterSettings] = {
            "lora": self.lora,
            "dora": self.lora,
            "ia3": self.ia3,
            "prompt": self.prompt,
            "ptuning": self.ptuning,
        }
        return own.get(self.method, self.adapter)

    @property
    def is_merged(self) -> bool:
        """Whether the result is a model; otherwise it is an adapter for the model that was tuned."""
        return self.method == "full" or (self.merge and self.method in ("lora", "dora", "ia3"))


@dataclass(frozen=True, kw_only=True)
class MergedAdapterChoice:
    """A method whose adapter is merged into the model in the end, and the settings of each."""

    method: Annotated[
        Literal["full", "lora", "dora", "ia3"],
        Meta(description="what learns: every weight, or (beside a new head) an adapter, merged in the end"),
    ] = "full"
    lora: LoraSettings = field(default_factory=LoraSettings)
    ia3: Ia3Settings = field(default_factory=Ia3Settings)

    def __post_init__(self) -> None:
        if self.lora.quantize != "none":
            raise ConfigError(
                f"lora.quantize={self.lora.quantize}: the adapter is merged in the end, which needs whole weights; "
                "leave it at none"
            )

    @property
    def chosen(self) -> AdapterSettings:
        """Settings of the method, which is not "full"."""
        return self.ia3 if self.method == "ia3" else self.lora


LEARNING_RATES = {
    "full": 1e-3,
    "lora": 5e-3,
    "dora": 5e-3,
    "ia3": 5e-2,
    "prompt": 3e-2,
    "ptuning": 3e-3,
    "adapter": 5e-3,
    "parallel_adapter": 5e-3,
}
"""Peak learning rates for models of a few million weights, found on a tiny task (tests/test_adapter_learning.py)."""


@dataclass(frozen=True, kw_only=True)
class MergeSettings:
    """``nemo-core merge``."""

    model: Annotated[Path, Meta(description="base model folder")]
    adapter: Annotated[Path, Meta(description="adapter folder (PEFT layout): LoRA, DoRA or IA3")]
    output: Annotated[Path, Meta(description="folder of the merged checkpoint")]
    keep_original: Annotated[
        bool, Meta(description="keep the weights that are changed, in unmerge/, so that `unmerge` can put them back")
    ] = False
    overwrite: Annotated[bool, Meta(description="replace an existing output")] = False


@dataclass(frozen=True, kw_only=True)
class UnmergeSettings:
    """``nemo-core unmerge``."""

    model: Annotated[Path, Meta(description="folder that `merge keep_original=true` made")]
    output: Annotated[Path, Meta(description="folder of the checkpoint without the adapter")]
    overwrite: Annotated[bool, Meta(description="replace an existing output")] = False
