"""Settings of `nemo-core pretrain`, `sft` and `evaluate`; this module imports nothing heavy."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from ..checkpoint.state_settings import StateSettings
from ..config import MAX_LAYERS
from ..data.batch_size import RampUp
from ..megatron.settings import Fp8Settings
from ..parallel.settings import ParallelSettings
from ..peft.settings import LEARNING_RATES, AdapterChoice
from ..sizes import check_size
from .care import EarlyStopSettings, EmaSettings, ExpertSettings, GuardSettings

Device = Literal["auto", "cpu", "cuda"]
Dtype = Literal["auto", "float32", "bfloat16"]
ScheduleKind = Literal["cosine", "wsd", "linear", "inverse_sqrt", "constant"]
TakeUp = Literal["weights", "optimizer", "run"]
Count = Annotated[int, Meta(ge=1)]

Implementation = Annotated[
    Literal["native", "megatron"], Meta(description="native: readable torch; megatron: megatron.core's GPTModel")
]


@dataclass(frozen=True, kw_only=True)
class ScheduleSettings:
    """How the learning rate goes over the steps."""

    kind: Annotated[ScheduleKind, Meta(description="course after warmup; wsd: flat, then a linear fall at the end")] = (
        "cosine"
    )
    warmup_share: Annotated[float, Meta(ge=0, lt=1, description="share of the steps in which the rate rises")] = 0.05
    warmup_steps: Annotated[int, Meta(ge=0, description="steps in which it rises; 0: as warmup_share says")] = 0
    decay_share: Annotated[float, Meta(gt=0, le=1, description="wsd: share of the steps in which it falls")] = 0.2
    minimum_ratio: Annotated[float, Meta(ge=0, le=1, description="last rate as a share of the highest")] = 0.1


@dataclass(frozen=True, kw_only=True)
class OptimizerSettings:
    """How weights follow their gradients."""

    kind: Annotated[
        Literal["adamw", "muon", "adafactor"],
        Meta(description="muon: for hidden matrices, adamw for the rest; learns from less. adafactor: least memory"),
    ] = "adamw"
    weight_decay: Annotated[float, Meta(ge=0, description="decoupled weight decay of matrices")] = 0.1
    beta1: Annotated[float, Meta(ge=0, lt=1, description="decay of the mean gradient")] = 0.9
    beta2: Annotated[float, Meta(ge=0, lt=1, description="decay of the mean squared gradient")] = 0.95
    max_grad_norm: Annotated[float, Meta(gt=0, description="longer gradients are shortened to this norm")] = 1.0


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """Where and how a run computes, looks and saves; of these only seed, dtype and threads touch the result."""

    seed: Annotated[int, Meta(ge=0, description="initial weights and order of the data")] = 0
    device: Annotated[Device, Meta(description="auto: cuda where there is one")] = "auto"
    dtype: Annotated[Dtype, Meta(description="of matrix products; weights stay float32. auto: bfloat16 on cuda")] = (
        "auto"
    )
    threads: Annotated[
        int, Meta(ge=0, description="CPU threads; 0: one per core. Sums differ in the last bit between thread counts")
    ] = 0
    log_every: Annotated[int, Meta(ge=1, description="steps between lines of metrics.jsonl")] = 10
    validation_every: Annotated[
        int, Meta(ge=0, description="steps between measurements on held-out data; 0: before and after only")
    ] = 100
    validation_batches: Annotated[int, Meta(ge=1, description="held-out batches measured each time, at most")] = 8
    save_every: Annotated[int, Meta(ge=0, description="steps between saved states; 0: by time only")] = 0
    save_every_s: Annotated[float, Meta(gt=0, description="seconds between saved states")] = 60.0
    max_bad_steps: Annotated[
        int, Meta(ge=1, description="steps in a row whose loss or gradient is not finite, until the run gives up")
    ] = 5
    guard: GuardSettings = field(default_factory=GuardSettings)
    ema: EmaSettings = field(default_factory=EmaSettings)
    early_stop: EarlyStopSettings = field(default_factory=EarlyStopSettings)
    tensorboard: Annotated[bool, Meta(description="write TensorBoard events besides metrics.jsonl")] = True
    trackers: Annotated[
        tuple[Literal["wandb", "mlflow"], ...], Meta(description="services that get the figures, too")
    ] = ()
    state: StateSettings = field(default_factory=StateSettings)
    parallel: ParallelSettings = field(default_factory=ParallelSettings)


@dataclass(frozen=True, kw_only=True)
class ModelShape:
    """Shape of the model, where it is to differ from its size's."""

    num_layers: Annotated[Annotated[int, Meta(ge=1, le=MAX_LAYERS)] | None, Meta(description="layers")] = None
    hidden_size: Annotated[Count | None, Meta(description="width of the residual stream")] = None
    num_heads: Annotated[Count | None, Meta(description="query heads")] = None
    num_kv_heads: Annotated[Count | None, Meta(description="key/value heads")] = None
    head_dim: Annotated[Count | None, Meta(description="width of a head")] = None
    ffn_size: Annotated[Count | None, Meta(description="width of the feed-forward")] = None
    max_positions: Annotated[Count | None, Meta(description="longest sequence; default 1024 or sequence_length")] = None
    tied_embeddings: Annotated[bool | None, Meta(description="share input and output embedding")] = None


@dataclass(frozen=True, kw_only=True)
class LearningSettings:
    """How much is learnt at a time, and how fast."""

    steps: Annotated[int, Meta(ge=1, description="optimizer steps")] = 300
    batch_size: Annotated[int, Meta(ge=1, description="rows that a step learns from, over all processes")] = 16
    micro_batch_size: Annotated[
        int, Meta(ge=0, description="rows computed at once; 0: all. Bounds memory, leaves the loss as it is")
    ] = 0
    sequence_length: Annotated[int, Meta(ge=2, description="tokens of a row")] = 256
    learning_rate: Annotated[float, Meta(gt=0, description="highest learning rate")] = 3e-3
    schedule: ScheduleSettings = field(default_factory=ScheduleSettings)
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)


class DataSource(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A collection of a blend."""

    tokens: Annotated[str, Meta(min_length=1, description="as the setting tokens")]
    weight: Annotated[float | int, Meta(description="its share of the samples; shares sum to 1, or whole numbers")]


@dataclass(frozen=True, kw_only=True)
class PretrainTask:
    """What pretraining reads and makes."""

    output: Annotated[Path, Meta(description="folder of the checkpoint to make")]
    tokens: Annotated[
        Path | None,
        Meta(description="tokens artifact, a folder with train.bin/.idx and tokenizer/, or NAME of a NAME.bin/.idx"),
    ] = None
    data: Annotated[
        tuple[DataSource, ...], Meta(description="instead of tokens, a blend: [{tokens: a, weight: 0.7}, ...]")
    ] = ()
    tokenizer: Annotated[Path | None, Meta(description="folder of the tokenizer, where tokens name none")] = None
    validation: Annotated[
        Path | None,
        Meta(description="held-out tokens: a folder, or NAME of a NAME.bin/.idx; default: those of the data"),
    ] = None
    continue_from: Annotated[Path | None, Meta(description="model folder to go on from, instead of random weights")] = (
        None
    )
    take_up: Annotated[
        TakeUp,
        Meta(
            description="what of continue_from: weights; optimizer: also float32 weights and moments (state/); run: "
            "also the steps it did, so that schedule and data go on behind them"
        ),
    ] = "weights"
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False
    size: Annotated[
        str,
        Meta(
            description="shape of the model: nano, micro, mini, small, base, or a published one such as llama3-8b; an "
            "unknown name lists all"
        ),
    ] = "nano"
    model: ModelShape = field(default_factory=ModelShape)
    implementation: Implementation = "native"
    fp8: Fp8Settings = field(default_factory=Fp8Settings)
    separate_documents: Annotated[
        bool, Meta(description="documents that share a window do not see each other (slower on CPU)")
    ] = False

    def __post_init__(self) -> None:
        check_size(self.size)


# Bases are listed last to first: fields, and so `--help`, begin with the task.
@dataclass(frozen=True, kw_only=True)
class PretrainSettings(RunSettings, LearningSettings, PretrainTask):
    """Tokens in, a language model out."""

    ramp_up: RampUp = field(default_factory=RampUp)
    experts: ExpertSettings = field(default_factory=ExpertSettings)


@dataclass(frozen=True, kw_only=True)
class TuningSettings(RunSettings, LearningSettings):
    """How much a model that exists learns, and how fast."""

    steps: Annotated[int, Meta(ge=0, description="optimizer steps; 0: as many as epochs need")] = 0
    batch_size: Annotated[int, Meta(ge=1, description="packed rows a step learns from, over all processes")] = 8
    learning_rate: Annotated[float, Meta(ge=0, description="highest learning rate; 0: what suits the method")] = 0.0
    validation_every: Annotated[
        int, Meta(ge=0, description="steps between measurements on held-out data; 0: before and after only")
    ] = 20


@dataclass(frozen=True, kw_only=True)
class SftTask:
    """What fine-tuning reads and makes."""

    model: Annotated[Path, Meta(description="checkpoint artifact, or a Hugging Face folder")]
    conversations: Annotated[Path, Meta(description="conversations artifact, or JSONL file or folder of your own")]
    output: Annotated[Path, Meta(description="folder of the checkpoint to make")]
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False
    epochs: Annotated[float, Meta(gt=0, description="passes over the conversations, where steps is 0")] = 3.0
    validation_share: Annotated[
        float, Meta(ge=0, lt=1, description="share held out where the conversations have no validation split")
    ] = 0.05
    samples: Annotated[int, Meta(ge=0, le=6, description="held-out questions answered before and after")] = 4
    sample_tokens: Annotated[int, Meta(ge=1, description="tokens of a sample answer, at most")] = 64
    implementation: Implementation = "native"
    fp8: Fp8Settings = field(default_factory=Fp8Settings)


@dataclass(frozen=True, kw_only=True)
class SftSettings(TuningSettings, AdapterChoice, SftTask):
    """A language model and conversations in, a model that answers out."""

    experts: ExpertSettings = field(default_factory=ExpertSettings)

    @property
    def peak_learning_rate(self) -> float:
        """The highest learning rate, defaults resolved."""
        return self.learning_rate or LEARNING_RATES[self.method]


@dataclass(frozen=True, kw_only=True)
class EvaluateSettings:
    """A model and held-out data in, figures and sample answers out."""

    model: Annotated[Path, Meta(description="checkpoint artifact, or a Hugging Face folder")]
    output: Annotated[Path, Meta(description="folder of the evaluation artifact to make")]
    tokens: Annotated[Path | None, Meta(description="tokens artifact: loss and perplexity on its validation split")] = (
        None
    )
    conversations: Annotated[
        Path | None, Meta(description="conversations artifact or JSONL: loss of held-out answers, sample answers")
    ] = None
    tasks: Annotated[
        tuple[Path, ...],
        Meta(description="JSONL files of questions: with `choices` for accuracy, without for exact match and F1"),
    ] = ()
    adapter: Annotated[Path | None, Meta(description="adapter folder to put on the model")] = None
    name: Annotated[str, Meta(min_length=1, description="what the results call the model")] = "model"
    sequence_length: Annotated[int, Meta(ge=2, description="tokens of a row")] = 256
    batch_size: Annotated[int, Meta(ge=1, description="rows computed at once")] = 16
    stride: Annotated[
        int,
        Meta(ge=0, description="tokens a window moves on; below sequence_length each has more context; 0: all of it"),
    ] = 0
    max_tokens: Annotated[int, Meta(ge=1, description="held-out tokens measured, at most")] = 1_000_000
    shots: Annotated[int, Meta(ge=0, description="first questions of a task shown solved before each of the rest")] = 0
    answer_tokens: Annotated[int, Meta(ge=1, description="tokens of an answer to a task's question, at most")] = 64
    chat: Annotated[bool, Meta(description="ask a task's questions through the model's chat template")] = False
    samples: Annotated[int, Meta(ge=0, description="questions answered, evenly spread over the held-out ones")] = 6
    sample_tokens: Annotated[int, Meta(ge=1, description="tokens of a sample answer, at most")] = 64
    device: Annotated[Device, Meta(description="auto: cuda where there is one")] = "auto"
    dtype: Annotated[Dtype, Meta(description="of matrix products. auto: bfloat16 on cuda")] = "auto"
    threads: Annotated[int, Meta(ge=0, description="CPU threads; 0: one per core")] = 0
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False
