"""The steps that ask a trained classifier."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from ..foundation.errors import ConfigError
from ..tables.settings import Passage
from .families import FAMILIES, REFUSED, Family

NAME = "^[a-z][a-z0-9_]*$"
FamilyName = Literal[
    "generic",
    "quality",
    "domain",
    "multilingual_domain",
    "content_type",
    "fineweb_edu",
    "fineweb_mixtral_edu",
    "fineweb_nemotron_edu",
    "finemath",
    "prompt_task_complexity",
    "aegis",
    "instruction_data_guard",
]


@dataclass(frozen=True, kw_only=True)
class FastText:
    """The fasttext step: the probability of a label under a fastText model as a column, and who stays by it."""

    model: Annotated[Path, Meta(description="fastText model (.bin, .ftz)")]
    label: Annotated[str, Meta(description="label whose probability is the score, without __label__")] = "hq"
    column: Annotated[str, Meta(pattern=NAME, description="column of the score")] = "fasttext_score"
    keep: Annotated[
        Literal["all", "above", "pareto"],
        Meta(description="all; scores of at least `min_score`; or a sample that favours high ones (GPT-3)"),
    ] = "pareto"
    min_score: Annotated[float, Meta(ge=0, le=1, description="least score of a document that stays (above)")] = 0.5
    alpha: Annotated[
        float,
        Meta(gt=0, description="keeps where a Pareto variable of this shape exceeds 1 - score (GPT-3: 9, NeMo: 3)"),
    ] = 3.0
    seed: Annotated[int, Meta(ge=0, description="seed of the sample, which hashes ids: order does not matter")] = 42

    def columns(self) -> list[Any]:
        """The columns that the step adds, as Arrow fields."""
        import pyarrow as pa

        return [pa.field(self.column, pa.float64())]

    def open(self) -> Any:
        """The step as a function from a batch to its verdict."""
        from .fasttext_step import scorer

        return scorer(self)


@dataclass(frozen=True, kw_only=True)
class Classify:
    """The classify step: label and score of a local Hugging Face sequence classifier, and who stays by them."""

    model: Annotated[Path, Meta(description="folder of the model: config.json, safetensors, tokenizer.json")]
    family: Annotated[FamilyName, Meta(description="ready definition: head, lengths, labels, column names")] = "generic"
    column: Annotated[
        str, Meta(description="columns are COLUMN_label, COLUMN_score; the family's name unless said")
    ] = ""
    keep_labels: Annotated[list[str], Meta(description="labels of documents that stay; empty keeps all")] = field(
        default_factory=list
    )
    min_score: Annotated[float | None, Meta(description="least score of a document that stays")] = None
    max_tokens: Annotated[
        Annotated[int, Meta(ge=8)] | None, Meta(description="tokens looked at; the family's unless said")
    ] = None
    max_characters: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="characters looked at; the family's unless said")
    ] = None
    batch_tokens: Annotated[int, Meta(ge=64, description="most tokens, padding included, of one batch")] = 16_384
    device: Annotated[Literal["auto", "cpu", "cuda"], Meta(description="auto is cuda where there is one")] = "auto"
    threads: Annotated[int, Meta(ge=1, description="threads of one worker on a CPU")] = 1

    def __post_init__(self) -> None:
        if self.family in REFUSED:
            raise ConfigError(f"family={self.family}: {REFUSED[self.family]}")

    @property
    def definition(self) -> Family:
        """The family's definition."""
        return FAMILIES[self.family]

    @property
    def prefix(self) -> str:
        """What the names of the columns begin with."""
        return self.column or self.definition.column

    def columns(self) -> list[Any]:
        """The columns that the step adds, as Arrow fields."""
        import pyarrow as pa

        if self.definition.head == "prompt":
            from .prompts import DIMENSIONS

            texts = [pa.field(f"{self.prefix}_{name}", pa.string()) for name in ("label", "label_2")]
            numbers = [pa.field(f"{self.prefix}_{name}", pa.float64()) for name in ("score", "complexity", *DIMENSIONS)]
            return texts + numbers
        whole = [pa.field(f"{self.prefix}_int_score", pa.int64())] if self.definition.head == "regression" else []
        return [pa.field(f"{self.prefix}_label", pa.string()), pa.field(f"{self.prefix}_score", pa.float64()), *whole]

    def check(self) -> None:
        """Raise ConfigError where the folder cannot hold the model, without loading it."""
        from .step import check_folder

        check_folder(self.model)

    def open(self) -> Any:
        """The step as a function from a batch to its verdict."""
        from .step import classifier

        return classifier(self)


@dataclass(frozen=True, kw_only=True)
class ClassifyDocuments(Classify, Passage):
    """Settings of ``nemo-curator classify``."""


@dataclass(frozen=True, kw_only=True)
class ScoreWithFastText(FastText, Passage):
    """Settings of ``nemo-curator fasttext``."""
