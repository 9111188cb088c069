"""Settings of ``nemo-deploy ask``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

Text = Annotated[str, Meta(min_length=1)]


@dataclass(frozen=True, kw_only=True)
class AskSettings:
    """A model, what to ask it, and where the transcript goes."""

    model: Annotated[Path, Meta(description="model folder to serve while asking")]
    output: Annotated[Path, Meta(description="folder of the endpoint artifact to make")]
    question: Annotated[
        Text | Annotated[list[Text], Meta(min_length=1)] | None, Meta(description="a question, or a list of them")
    ] = None
    questions: Annotated[Path | None, Meta(description="file with one question per line, asked after `question`")] = (
        None
    )
    max_tokens: Annotated[int, Meta(ge=1, description="longest answer in tokens")] = 96
    temperature: Annotated[float, Meta(ge=0, le=2, description="0 always takes the likeliest token")] = 0.0
    seed: Annotated[int, Meta(description="for temperatures above 0")] = 0
    start_timeout_s: Annotated[int, Meta(ge=1, description="how long the server may take to load the model")] = 300
    overwrite: Annotated[bool, Meta(description="replace an output that exists")] = False
