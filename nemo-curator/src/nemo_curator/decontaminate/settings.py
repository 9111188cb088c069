"""The decontaminate step."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from ..foundation.errors import ConfigError
from ..tables.settings import Passage


@dataclass(frozen=True, kw_only=True)
class Decontaminate:
    """The decontaminate step: cut what is in evaluation sets out of documents, or drop these.

    The defaults are those of NeMo Curator's TaskDecontamination (after GPT-3, Brown et al. 2020, appendix C);
    ``mode=drop ngram=12 min_ngram=12 max_matches=null`` is what datatrove does.
    """

    tasks: Annotated[
        dict[str, Path], Meta(description="evaluation sets by name: JSONL (.gz, .zst) or Parquet, a file or a folder")
    ] = field(default_factory=dict)
    fields: Annotated[
        dict[str, list[str]], Meta(description="fields to look at, by set; else the known ones, else every string")
    ] = field(default_factory=dict)
    mode: Annotated[Literal["cut", "drop"], Meta(description="cut the passage out, or drop the document")] = "cut"
    ngram: Annotated[int, Meta(ge=2, le=100, description="words in a row that count as the same passage")] = 13
    min_ngram: Annotated[
        int, Meta(ge=2, le=100, description="shorter texts of a set count whole, down to this many words")
    ] = 8
    max_matches: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(description="passages found more often in all documents are common, and stay"),
    ] = 10
    cut_characters: Annotated[
        int, Meta(ge=0, description="characters cut on each side, up to the end of a sentence")
    ] = 200
    min_characters: Annotated[int, Meta(ge=0, description="shorter pieces are dropped")] = 200
    max_splits: Annotated[int, Meta(ge=1, description="documents in more pieces are dropped")] = 10
    common: Annotated[
        Path | None, Meta(description="common.json of an earlier run: passages that are known to be common")
    ] = None

    def __post_init__(self) -> None:
        if not self.tasks:
            raise ConfigError("tasks: name at least one evaluation set, such as tasks={gsm8k: gsm8k.jsonl}")
        if self.min_ngram > self.ngram:
            raise ConfigError(f"min_ngram={self.min_ngram} is above ngram={self.ngram}: no passage could be found")
        unknown = [name for name in self.fields if name not in self.tasks]
        if unknown:
            raise ConfigError(f"fields: {unknown[0]!r} is not among the tasks ({', '.join(self.tasks)})")

    def open(self) -> Any:
        """The step as a function from a batch to its verdict."""
        if self.max_matches is not None and self.common is None:
            raise ConfigError(
                "max_matches needs to know how often a passage is found in all documents, which one step cannot: use "
                "the command decontaminate, or max_matches: null, or common: FILE of an earlier run"
            )
        from .step import decontaminator

        return decontaminator(self)


@dataclass(frozen=True, kw_only=True)
class DecontaminateDocuments(Decontaminate, Passage):
    """Settings of ``nemo-curator decontaminate``."""
