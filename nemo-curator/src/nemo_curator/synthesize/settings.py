"""Settings of ``nemo-curator questions`` and ``nemo-curator preferences``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from ..foundation.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Questions:
    """How questions are asked about documents, and which answers are good enough."""

    documents: Annotated[Path, Meta(description="documents artifact to ask about")]
    output: Annotated[Path, Meta(description="folder of the conversations artifact to make")]
    overwrite: Annotated[bool, Meta(description="replace the output where it exists")] = False
    validation_share: Annotated[float, Meta(ge=0, le=0.5, description="share of documents held out")] = 0.08
    phrasings: Annotated[int, Meta(ge=1, le=4, description="ways to ask about each training document")] = 3
    min_words: Annotated[int, Meta(ge=1, description="fewest words of an answer, its subject not counted")] = 3
    max_words: Annotated[int, Meta(ge=1, description="most words of an answer, its subject not counted")] = 25
    max_uses: Annotated[int, Meta(ge=1, description="documents that may have the same answer")] = 3

    def __post_init__(self) -> None:
        if self.min_words > self.max_words:
            raise ConfigError(f"min_words={self.min_words} is above max_words={self.max_words}: no answer could stay")


@dataclass(frozen=True, kw_only=True)
class Preferences:
    """How poor answers are made."""

    conversations: Annotated[Path, Meta(description="conversations artifact whose answers are the good ones")]
    output: Annotated[Path, Meta(description="folder of the preferences artifact to make")]
    overwrite: Annotated[bool, Meta(description="replace the output where it exists")] = False
    seed: Annotated[int, Meta(ge=0, description="seed of the choice of faults")] = 0
    per_question: Annotated[int, Meta(ge=1, le=4, description="poor answers to each question, of different kinds")] = 1
