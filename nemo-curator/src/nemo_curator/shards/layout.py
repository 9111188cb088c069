"""Where a run keeps what: the artifact's own files, and its work folder that is gone in the end."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Layout:
    """Paths inside the draft of a documents artifact."""

    root: Path

    @property
    def work(self) -> Path:
        """What a resumed run goes on from."""
        return self.root / "work"

    def documents(self, shard: int, segment: int, *, last: bool) -> Path:
        """Documents of a shard that a segment kept."""
        if last:
            return self.root / "data" / f"part-{shard:05d}.parquet"
        return self.work / f"segment-{segment}" / f"{shard:05d}.arrow"

    def rejects(self, shard: int, segment: int) -> Path:
        """Documents of a shard that a segment dropped."""
        return self.root / "rejects" / f"part-{shard:05d}-{segment}.parquet"

    def keys(self, shard: int, segment: int) -> Path:
        """Deduplication keys of the documents kept."""
        return self.work / f"segment-{segment}" / f"{shard:05d}.keys"

    def beside(self, shard: int, segment: int, name: str) -> Path:
        """What else a deduplication notes of a shard."""
        return self.work / f"segment-{segment}" / f"{shard:05d}-{name}"

    def groups(self, shard: int, segment: int) -> Path:
        """Documents of a shard that are in a group of duplicates."""
        return self.root / "groups" / f"part-{shard:05d}-{segment}.parquet"

    def spans(self, shard: int, segment: int) -> Path:
        """Passages cut out of a shard's documents: id, first byte and end in the text as it was."""
        return self.root / "spans" / f"part-{shard:05d}-{segment}.parquet"

    def tally(self, shard: int, segment: int) -> Path:
        """What a segment did with a shard; written last, so it also says that the shard is done."""
        return self.work / f"segment-{segment}" / f"{shard:05d}.json"

    def drops(self, shard: int, segment: int) -> Path:
        """Rows of the documents kept that duplicate another, and the id of that one."""
        return self.work / f"segment-{segment}" / f"{shard:05d}-drops.parquet"

    def compared(self, segment: int) -> Path:
        """Written when the drops of all shards are."""
        return self.work / f"segment-{segment}" / "compared.json"
