"""Settings of the deduplication steps that drop whole documents for the sake of others."""

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from ..foundation.errors import ConfigError

SURVIVOR = "which document of a group stays: that with the lowest id, most text, or the highest score"
SCORE = "column of numbers that survivor=highest goes by"
GROUPS = "write groups/*.parquet: the id of every duplicate, its group, and whether it survives"
REMOVE = "leave duplicates out of the documents"
COLUMN = "what is compared; documents without one are no duplicates"
EQUAL = "take texts for equal apart from case and white space"


@dataclass(frozen=True, kw_only=True)
class Grouping:
    """What happens to a group of duplicates."""

    survivor: Annotated[Literal["first", "longest", "highest"], Meta(description=SURVIVOR)] = "first"
    score_column: Annotated[str, Meta(description=SCORE)] = ""
    groups: Annotated[bool, Meta(description=GROUPS)] = False
    remove: Annotated[bool, Meta(description=REMOVE)] = True

    def __post_init__(self) -> None:
        if (self.survivor == "highest") != bool(self.score_column):
            raise ConfigError("survivor=highest and score_column=... go together")

    def gather(self, keyer: Any, *, num_keys: int, recipe: str) -> Any:
        """A gatherer of keys and of the scores that survivors are chosen by."""
        from .keys import KeyGather

        return KeyGather(keyer, num_keys=num_keys, recipe=recipe, score=self.score_column)


@dataclass(frozen=True, kw_only=True)
class ExactDedup(Grouping):
    """Drop documents whose text (or address, title, id of your own) another one has."""

    reason: ClassVar[str] = "exact_duplicate"
    column: Annotated[Literal["text", "url", "title", "source_id"], Meta(description=COLUMN)] = "text"
    ignore_case_and_space: Annotated[bool, Meta(description=EQUAL)] = False

    def open(self) -> Any:
        """The gatherer of 128-bit digests."""
        from .exact import keyer

        alike = " apart from case and white space" if self.ignore_case_and_space else ""
        of = "" if self.column == "text" else f" of {self.column}"
        return self.gather(keyer(self), num_keys=2, recipe=f"BLAKE2b-128{of}{alike}")

    def group(self, comparison: Any) -> Any:
        """The first document with the text of each one."""
        from .exact import group

        return group(comparison.table(), memory_bytes=comparison.memory_bytes)


@dataclass(frozen=True, kw_only=True)
class FuzzyDedup(Grouping):
    """Drop documents whose text another one nearly has (MinHash LSH)."""

    reason: ClassVar[str] = "near_duplicate"
    mode: Annotated[
        Literal["exact", "fast"],
        Meta(description="exact: the hash functions of cuDF; fast: a sketch in one pass, several times faster"),
    ] = "exact"
    shingle: Annotated[Literal["characters", "words"], Meta(description="what a shingle is a window of")] = "characters"
    width: Annotated[int, Meta(ge=1, le=1000, description="characters or words in a shingle")] = 24
    bands: Annotated[
        int, Meta(ge=1, le=1000, description="bands of the signature; a pair with one equal band is united")
    ] = 20
    rows: Annotated[int, Meta(ge=1, le=100, description="hashes in a band")] = 13
    recall: (
        Annotated[float, Meta(gt=0, lt=1, description="choose bands and rows: share of pairs at `jaccard` to find")]
        | None
    ) = None
    jaccard: Annotated[float, Meta(gt=0, lt=1, description="similarity from which texts are duplicates")] = 0.8
    hashes: Annotated[int, Meta(ge=1, le=10_000, description="hashes at most, where `recall` chooses")] = 260
    verify: Annotated[
        bool, Meta(description="unite candidates only where their true Jaccard similarity is `jaccard` or more")
    ] = False
    ignore_case_and_space: Annotated[bool, Meta(description=EQUAL)] = False
    seed: Annotated[int, Meta(ge=0, lt=1 << 32, description="seed of the permutations")] = 42
    backend: Annotated[Literal["cpu", "cudf"], Meta(description="what computes signatures and components")] = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.backend == "cudf" and (self.mode, self.shingle) != ("exact", "characters"):
            raise ConfigError("backend=cudf computes mode=exact with shingle=characters only")
        if self.recall is not None:
            _ = self.banding

    @property
    def banding(self) -> tuple[int, int]:
        """Bands and rows, as given or as `recall` asks for."""
        if self.recall is None:
            return self.bands, self.rows
        from .lsh import banding

        return banding(recall=self.recall, jaccard=self.jaccard, hashes=self.hashes)

    @property
    def recipe(self) -> str:
        """How keys are made; keys of different make are never compared."""
        bands, rows = self.banding
        alike = ", apart from case and white space" if self.ignore_case_and_space else ""
        return f"MinHash {self.mode}, {bands} x {rows}, {self.width} {self.shingle}, seed {self.seed}{alike}"

    def promise(self) -> str:
        """What this choice of bands finds, in one line."""
        from .lsh import curve

        bands, rows = self.banding
        return curve(bands=bands, rows=rows)

    def open(self) -> Any:
        """The gatherer of band keys."""
        from .fuzzy import keyer

        return self.gather(keyer(self), num_keys=self.banding[0], recipe=self.recipe)

    def group(self, comparison: Any) -> Any:
        """The first document of the component of each one."""
        from .fuzzy import group

        return group(self, comparison)
