"""Settings of ``nemo-curator generate`` and ``nemo-curator rewrite``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

from ..arrange.settings import Arrangement
from ..foundation.errors import ConfigError
from .endpoint.settings import Endpoint, Sampling

Kind = Literal["open-qa", "writing", "math", "code", "closed-qa"]
Style = Literal["wikipedia", "diverse-qa", "distill", "extract-knowledge", "knowledge-list"]
ANSWERS = "file that keeps every answer, so that none is asked for twice; beside the output unless said"


@dataclass(frozen=True, kw_only=True)
class Reward:
    """Who says how good an answer is: a function, or an endpoint."""

    function: Annotated[str, Meta(description="module:function from a list of conversations to a number for each")] = ""
    endpoint: Annotated[Endpoint | None, Meta(description="endpoint to ask")] = None
    kind: Annotated[
        Literal["judge", "reward-model"],
        Meta(description="judge: asked for 0 to 10; reward-model: reads the conversation, answers name:number"),
    ] = "judge"
    attribute: Annotated[str, Meta(description="which of a reward model's numbers; the first unless said")] = ""
    minimum: Annotated[float | None, Meta(description="least reward of an answer that stays")] = None

    def __post_init__(self) -> None:
        if self.function and self.endpoint:
            raise ConfigError("reward: name a function or an endpoint, not both")
        if self.minimum is not None and not self.given:
            raise ConfigError(f"reward.minimum={self.minimum:g} needs reward.function or reward.endpoint")

    @property
    def given(self) -> bool:
        """Whether anyone judges."""
        return bool(self.function or self.endpoint)


@dataclass(frozen=True, kw_only=True)
class Generate:
    """Settings of ``nemo-curator generate``."""

    output: Annotated[Path, Meta(description="folder of the conversations or preferences artifact to make")]
    endpoint: Endpoint
    form: Annotated[
        Literal["conversations", "preferences"],
        Meta(description="conversations; or the best and worst of several answers to each prompt"),
    ] = "conversations"
    kinds: Annotated[list[Kind], Meta(min_length=1, description="kinds of prompts")] = field(
        default_factory=lambda: ["open-qa"]
    )
    topics: Annotated[list[str], Meta(description="topics to write about; empty asks for them")] = field(
        default_factory=list
    )
    num_topics: Annotated[int, Meta(ge=1, le=500, description="topics to ask for, where none is given")] = 10
    num_subtopics: Annotated[int, Meta(ge=0, le=500, description="subtopics of each topic; 0 keeps to the topics")] = 5
    per_topic: Annotated[
        int, Meta(ge=1, le=100, description="prompts of each kind about each subtopic or document")
    ] = 5
    elaborate: Annotated[bool, Meta(description="open-qa: questions again with more context")] = False
    language: Annotated[str, Meta(description="code: programming language")] = "Python"
    documents: Annotated[Path | None, Meta(description="closed-qa: documents artifact to ask about")] = None
    max_documents: Annotated[int, Meta(ge=1, description="closed-qa: documents taken from its beginning")] = 100
    max_document_words: Annotated[int, Meta(ge=10, description="closed-qa: words of a document that are shown")] = 800
    turns: Annotated[Literal[1, 2], Meta(description="2: the user, simulated, goes on, and is answered again")] = 1
    candidates: Annotated[int, Meta(ge=1, le=32, description="answers to each prompt; the best by reward is taken")] = 1
    min_margin: Annotated[float, Meta(ge=0, description="preferences: least reward between best and worst")] = 0.0
    reward: Reward = field(default_factory=Reward)
    sampling: Sampling = field(default_factory=Sampling)
    validation_share: Annotated[float, Meta(ge=0, le=0.5, description="share of prompts held out")] = 0.05
    answers: Annotated[Path | None, Meta(description=ANSWERS)] = None
    overwrite: Annotated[bool, Meta(description="replace the output where it exists")] = False

    def __post_init__(self) -> None:
        if "closed-qa" in self.kinds and self.documents is None:
            raise ConfigError("kinds: closed-qa needs documents=ARTIFACT to ask about")
        if self.candidates > 1 and not self.reward.given:
            raise ConfigError(f"candidates={self.candidates} needs reward.function or reward.endpoint to choose by")
        if self.form == "preferences" and (self.candidates < 2 or self.turns > 1):
            raise ConfigError("form=preferences needs candidates=2 or more, and turns=1")


@dataclass(frozen=True, kw_only=True)
class Rewrite(Arrangement):
    """Settings of ``nemo-curator rewrite``."""

    endpoint: Endpoint
    styles: Annotated[list[Style], Meta(min_length=1, description="how documents are written anew")] = field(
        default_factory=lambda: ["wikipedia"]
    )
    min_words: Annotated[int, Meta(ge=1, description="shorter pieces of documents are left out")] = 30
    sampling: Sampling = field(default_factory=Sampling)
    answers: Annotated[Path | None, Meta(description=ANSWERS)] = None
