"""Settings of the two deduplication steps."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from msgspec import Meta

SURVIVOR = "which document of a group stays: the one with the lowest id, or the one with most text"


@dataclass(frozen=True, kw_only=True)
class ExactDedup:
    """Drop documents whose text another one has."""

    ignore_case_and_space: Annotated[bool, Meta(description="take texts for equal apart from case and blanks")] = False
    survivor: Annotated[Literal["first", "longest"], Meta(description=SURVIVOR)] = "first"

    def open(self) -> Any:
        """The keyer: batch -> the two halves of 128-bit digests, [2, documents]."""
        from .exact import keyer

        return keyer(self)


@dataclass(frozen=True, kw_only=True)
class FuzzyDedup:
    """Drop documents whose text another one nearly has (MinHash LSH with the hash functions of cuDF)."""

    bands: Annotated[
        int, Meta(ge=1, le=1000, description="bands of the signature; a pair with one equal band is united")
    ] = 20
    rows: Annotated[int, Meta(ge=1, le=100, description="hashes in a band")] = 13
    width: Annotated[int, Meta(ge=2, le=1000, description="characters in a shingle")] = 24
    seed: Annotated[int, Meta(ge=0, lt=1 << 32, description="seed of the permutations")] = 42
    survivor: Annotated[Literal["first", "longest"], Meta(description=SURVIVOR)] = "first"

    def promise(self) -> str:
        """What this choice of bands finds, in one line."""
        from .lsh import curve

        return curve(bands=self.bands, rows=self.rows)

    def open(self) -> Any:
        """The keyer: batch -> keys [bands, documents]."""
        from .fuzzy import keyer

        return keyer(self)
