"""Settings of the command that generates."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from ..foundation.errors import ConfigError
from ..train.settings import Device, Dtype
from .request import SamplingParams

Positive = Annotated[int, Meta(ge=1)]
Count = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True, kw_only=True)
class GenerateSettings:
    """``nemo-core generate``: exactly one of `prompt`, `chat` and `prompts`."""

    model: Annotated[Path, Meta(description="model folder: a checkpoint, or any Hugging Face folder of a known family")]
    prompt: Annotated[str | None, Meta(description="text to continue")] = None
    chat: Annotated[str | None, Meta(description="a question, asked through the model's chat template")] = None
    prompts: Annotated[Path | None, Meta(description="JSONL file whose lines hold `prompt` or `messages`")] = None
    output: Annotated[
        Path | None, Meta(description="JSONL file for the answers; a run that was killed goes on where it stopped")
    ] = None
    overwrite: Annotated[bool, Meta(description="replace an existing output")] = False
    stream: Annotated[
        bool | None, Meta(description="show the text as it comes; default: one prompt, on a terminal")
    ] = None
    adapter: Annotated[Path | None, Meta(description="adapter folder to put on the model")] = None
    max_tokens: Annotated[int, Meta(ge=1, description="longest answer, in tokens")] = 128
    min_tokens: Annotated[int, Meta(ge=0, description="nothing ends an answer before so many tokens")] = 0
    temperature: Annotated[float, Meta(ge=0, description="0 takes the likeliest token each time")] = 0.0
    top_k: Annotated[int, Meta(ge=0, description="choose among the k likeliest tokens; 0 is off")] = 0
    top_p: Annotated[float, Meta(ge=0, le=1, description="choose within this share of probability")] = 1.0
    min_p: Annotated[float, Meta(ge=0, le=1, description="least probability, as a share of the likeliest's")] = 0.0
    repetition_penalty: Annotated[float, Meta(gt=0, description="above 1: tokens seen before become rarer")] = 1.0
    frequency_penalty: Annotated[float, Meta(description="taken off a score for each time the answer holds it")] = 0.0
    presence_penalty: Annotated[float, Meta(description="taken off the score of what the answer holds")] = 0.0
    logit_bias: Annotated[dict[int, float], Meta(description="added to the scores of token ids")] = field(
        default_factory=dict
    )
    stop: Annotated[tuple[str, ...], Meta(description="texts that end an answer, and are left out of it")] = ()
    stop_ids: Annotated[tuple[Count, ...], Meta(description="token ids that end an answer")] = ()
    ignore_eos: Annotated[bool, Meta(description="go on where the model would end")] = False
    logprobs: Annotated[Count | None, Meta(description="log-probabilities, and of so many alternatives")] = None
    prompt_logprobs: Annotated[bool, Meta(description="log-probabilities of the prompt's tokens too")] = False
    seed: Annotated[int, Meta(ge=0, description="the same seed gives the same answer")] = 0
    count: Annotated[int, Meta(ge=1, description="answers per prompt")] = 1
    max_slots: Annotated[int, Meta(ge=1, description="prompts answered at the same time")] = 32
    cache_tokens: Annotated[
        Positive | None, Meta(description="bound of the key/value cache; default max_slots full sequences")
    ] = None
    quantize: Annotated[Literal["none", "int8"], Meta(description="int8: weights in a quarter of the memory")] = "none"
    device: Annotated[Device, Meta(description="auto: cuda where there is one")] = "auto"
    dtype: Annotated[Dtype, Meta(description="of weights and cache. auto: bfloat16 on cuda, else float32")] = "auto"
    threads: Annotated[int, Meta(ge=0, description="CPU threads; 0: one per core")] = 0

    def __post_init__(self) -> None:
        given = [name for name in ("prompt", "chat", "prompts") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigError(f"give exactly one of prompt, chat and prompts; got {' and '.join(given) or 'none'}")
        if self.stream and (self.prompts is not None or self.count > 1 or self.output is not None):
            raise ConfigError("stream=true shows one answer: give one prompt or chat, count=1 and no output")

    def sampling(self, number: int) -> SamplingParams:
        """How answer `number` is drawn: its own seed, everything else shared."""
        return SamplingParams(
            max_tokens=self.max_tokens,
            min_tokens=self.min_tokens,
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            min_p=self.min_p,
            repetition_penalty=self.repetition_penalty,
            frequency_penalty=self.frequency_penalty,
            presence_penalty=self.presence_penalty,
            logit_bias=self.logit_bias,
            stop=self.stop,
            stop_ids=self.stop_ids,
            ignore_eos=self.ignore_eos,
            logprobs=self.logprobs,
            prompt_logprobs=0 if self.prompt_logprobs else None,
            seed=self.seed + number,
        )
