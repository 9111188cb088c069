"""Settings of semantic deduplication."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from ..foundation.errors import ConfigError
from .settings import GROUPS, REMOVE


@dataclass(frozen=True, kw_only=True)
class SemanticDedup:
    """Drop documents that mean what another one means (SemDeDup, Abbas et al. 2023)."""

    model: Annotated[Path, Meta(description="folder of an embedding model: config.json, safetensors, tokenizer")]
    eps: Annotated[float, Meta(gt=0, le=2, description="drop at a cosine similarity of 1 - eps or more")] = 0.01
    clusters: Annotated[int, Meta(ge=1, description="clusters that documents are compared within")] = 1000
    which: Annotated[
        Literal["hard", "easy", "random"],
        Meta(description="who comes first and stays: far from the centroid, near it, or by chance"),
    ] = "hard"
    iterations: Annotated[int, Meta(ge=1, description="rounds of k-means at most")] = 100
    tolerance: Annotated[float, Meta(ge=0, description="k-means ends when no centroid moves further")] = 1e-4
    sample: Annotated[int, Meta(ge=1, description="documents that k-means is fitted to at most")] = 100_000
    seed: Annotated[int, Meta(ge=0, lt=1 << 32, description="seed of k-means and of which=random")] = 1234
    batch_size: Annotated[int, Meta(ge=1, description="documents embedded at once")] = 128
    max_tokens: Annotated[int, Meta(ge=1, description="tokens of a document that count")] = 256
    device: Annotated[str, Meta(description="torch device that embeds")] = "cpu"
    backend: Annotated[Literal["cpu", "cudf"], Meta(description="what fits the clusters")] = "cpu"
    groups: Annotated[bool, Meta(description=GROUPS)] = False
    remove: Annotated[bool, Meta(description=REMOVE)] = True

    reason: ClassVar[str] = "semantic_duplicate"

    @property
    def width(self) -> int:
        """Numbers in an embedding. Raises ConfigError where `model` is no model's folder."""
        import json

        try:
            config = json.loads((self.model / "config.json").read_text(encoding="utf-8"))
            return int(config.get("hidden_size") or config["dim"])
        except (OSError, ValueError, KeyError) as error:
            raise ConfigError(f"model={self.model}: no embedding model's folder ({error})") from error

    @property
    def recipe(self) -> str:
        """How embeddings are made."""
        return f"embeddings of {self.width} by {self.model.name}, {self.max_tokens} tokens"

    def inputs(self) -> dict[str, Path]:
        """What the result depends on beside the documents."""
        return {"model": self.model}

    def open(self) -> Any:
        """The gatherer of embeddings."""
        from .keys import KeyGather
        from .semantic import keyer

        return KeyGather(keyer(self), num_keys=(self.width + 1) // 2, recipe=self.recipe)

    def decide(self, comparison: Any) -> Any:
        """Group of every document, and the one that stands for it."""
        from .semantic import decide

        return decide(self, comparison)
