"""Settings of the commands that use a finished model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from ..foundation.errors import ConfigError

Positive = Annotated[int, Meta(ge=1)]


@dataclass(frozen=True, kw_only=True)
class GenerateSettings:
    """``nemo-core generate``: exactly one of `prompt`, `chat` and `prompts`."""

    model: Annotated[Path, Meta(description="model folder (a checkpoint or any Hugging Face Llama folder)")]
    prompt: Annotated[str | None, Meta(description="text to continue")] = None
    chat: Annotated[str | None, Meta(description="a question, asked through the model's chat template")] = None
    prompts: Annotated[Path | None, Meta(description="JSONL file whose lines hold `prompt` or `messages`")] = None
    adapter: Annotated[Path | None, Meta(description="LoRA adapter folder to put on the model")] = None
    max_tokens: Annotated[int, Meta(ge=1, description="longest answer, in tokens")] = 128
    temperature: Annotated[float, Meta(ge=0, description="0 takes the likeliest token each time")] = 0.0
    top_k: Annotated[int, Meta(ge=0, description="choose among the k likeliest tokens; 0 is off")] = 0
    top_p: Annotated[float, Meta(gt=0, le=1, description="choose within this share of probability")] = 1.0
    seed: Annotated[int, Meta(ge=0, description="the same seed gives the same answer")] = 0
    count: Annotated[int, Meta(ge=1, description="answers per prompt")] = 1
    max_slots: Annotated[int, Meta(ge=1, description="prompts answered at the same time")] = 32
    threads: Annotated[Positive | None, Meta(description="CPU threads; default all cores")] = None

    def __post_init__(self) -> None:
        given = [name for name in ("prompt", "chat", "prompts") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ConfigError(f"give exactly one of prompt, chat and prompts; got {' and '.join(given) or 'none'}")


@dataclass(frozen=True, kw_only=True)
class MergeSettings:
    """``nemo-core merge``."""

    model: Annotated[Path, Meta(description="base model folder")]
    adapter: Annotated[Path, Meta(description="LoRA adapter folder (PEFT layout)")]
    output: Annotated[Path, Meta(description="folder of the merged checkpoint")]
    overwrite: Annotated[bool, Meta(description="replace an existing output")] = False
