"""The beginnings of files that lie evenly in an input, read as a run reads them and counted as they are stored."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

from ..read.files import InputFile
from ..shards.plan import Plan
from ..shards.tally import Tally
from ..shards.work import BATCH_DOCUMENTS, Batch, file_batches
from .counting import CountedFile

FILES = 8


def spaced(files: Sequence[InputFile]) -> list[InputFile]:
    """At most FILES of the files that hold something, evenly spread."""
    filled_files = [file for file in files if file.num_bytes] or list(files)
    count = min(FILES, len(filled_files))
    return [filled_files[(2 * i + 1) * len(filled_files) // (2 * count)] for i in range(count)]


@dataclass(kw_only=True)
class Sample:
    """What to read of the files of a shard, and afterwards what that was: bytes as stored, and in memory.

    Reading ends with `max_bytes` in memory or, where `only_one` says so, with one batch. With `twice`, everything is
    there a second time, as in an input that repeats itself.
    """

    max_bytes: int
    max_seconds: float
    batch: int = BATCH_DOCUMENTS
    only_one: bool = False
    twice: bool = False
    stored_bytes: int = 0
    read_bytes: int = 0
    whole: bool = True

    def __call__(self, plan: Plan, shard: int, tally: Tally) -> Iterator[Batch]:
        """The beginning of every file, a like share of each."""
        kept: list[Batch] = []
        for batch in self._beginnings(plan, shard, tally):
            if self.twice:
                kept.append(batch)
            yield batch
        self.read_bytes *= 1 + self.twice
        yield from kept

    def _beginnings(self, plan: Plan, shard: int, tally: Tally) -> Iterator[Batch]:
        files = plan.shards[shard]
        until = perf_counter() + self.max_seconds
        for number, file in enumerate(map(CountedFile.of, files)):
            share = (self.max_bytes - self.read_bytes) / (len(files) - number)
            ended = yield from self._beginning(file, plan, tally, share=share, until=until)
            self.stored_bytes += file.num_bytes if ended else file.used_bytes
            self.whole &= ended
            if perf_counter() > until or self.only_one:
                self.whole &= number + 1 == len(files)
                return

    def _beginning(
        self, file: CountedFile, plan: Plan, tally: Tally, *, share: float, until: float
    ) -> Generator[Batch, None, bool]:
        """Batches of one file; returns whether that was all of it."""
        taken = 0
        for documents, rejects in file_batches(file, plan.reading, tally, most=self.batch):
            taken += documents.nbytes + rejects.nbytes
            self.read_bytes += documents.nbytes + rejects.nbytes
            yield documents, rejects
            if taken >= share or perf_counter() > until or self.only_one:
                return False
        return True
