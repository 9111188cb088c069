"""Texts that earlier runs have seen, remembered in a Bloom filter that goes from run to run."""

import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ..foundation.atomic import atomic_file
from ..foundation.errors import ArtifactError, ConfigError
from ..kernels.bloom import test_and_add
from . import keys as key_files
from .keys import Keys
from .seen_settings import SeenDedup
from .spans import MARKS, places_of, write_cuts

if TYPE_CHECKING:
    from ..shards.compare import Comparison

FILTER = "seen.bloom"
EARLIER = "an earlier document or run"


@dataclass(frozen=True, kw_only=True)
class Head:
    """What a filter was made for, and how many values it holds."""

    recipe: str
    capacity: int
    false_positive_rate: float
    num_bits: int
    num_hashes: int
    values: int = 0

    @property
    def rate_now(self) -> float:
        """Chance that a text not seen before is taken for one that was: (1 - e^(-k*n/m))^k."""
        return float((1.0 - math.exp(-self.num_hashes * self.values / self.num_bits)) ** self.num_hashes)


class SeenFilter:
    """A filter in memory."""

    def __init__(self, head: Head, bits: npt.NDArray[np.uint64]) -> None:
        self.head, self._bits = head, bits

    @classmethod
    def empty(cls, *, recipe: str, capacity: int, false_positive_rate: float) -> "SeenFilter":
        """A filter with room for `capacity` values: -n ln p / (ln 2)^2 bits, and m/n ln 2 hashes."""
        num_bits = max(64, math.ceil(-capacity * math.log(false_positive_rate) / math.log(2) ** 2))
        head = Head(
            recipe=recipe,
            capacity=capacity,
            false_positive_rate=false_positive_rate,
            num_bits=num_bits,
            num_hashes=max(1, round(num_bits / capacity * math.log(2))),
        )
        return cls(head, np.zeros((num_bits + 63) // 64, np.uint64))

    @classmethod
    def read(cls, path: Path) -> "SeenFilter":
        """The filter in a file. Raises ArtifactError where it is none."""
        try:
            with open(path, "rb") as handle:
                head = Head(**json.loads(handle.readline()))
                bits = np.fromfile(handle, np.uint64)
        except FileNotFoundError:
            raise ArtifactError(f"{path}: no such filter; name the output of a run of seen_dedup") from None
        except (ValueError, TypeError) as error:
            raise ArtifactError(f"{path}: no filter of seen texts ({error})") from error
        if len(bits) != (head.num_bits + 63) // 64:
            raise ArtifactError(f"{path}: cut short; make it again")
        return cls(head, bits)

    def write(self, path: Path) -> None:
        """Write the filter."""
        with atomic_file(path) as handle:
            handle.write(json.dumps(asdict(self.head)).encode() + b"\n")
            handle.write(self._bits.data)

    def add(self, values: Keys) -> npt.NDArray[np.bool_]:
        """Add values in order; which of them were there before (or seem so)."""
        seen = np.zeros(len(values), bool)
        fresh = test_and_add(self._bits, self.head.num_bits, self.head.num_hashes, values, seen)
        self.head = Head(**{**asdict(self.head), "values": self.head.values + fresh})
        return seen


def open_filter(settings: SeenDedup) -> SeenFilter:
    """The filter that an earlier run left, or an empty one. Raises ConfigError where it holds other things."""
    if settings.seen is None:
        return SeenFilter.empty(
            recipe=settings.recipe, capacity=settings.capacity, false_positive_rate=settings.false_positive_rate
        )
    path = settings.filter_path
    assert path is not None
    found = SeenFilter.read(path)
    if found.head.recipe != settings.recipe:
        raise ConfigError(f"seen={settings.seen}: remembers {found.head.recipe}, not {settings.recipe}")
    return found


def drop_seen(settings: SeenDedup, comparison: "Comparison") -> dict[str, float]:
    """Pass all texts through the filter in the order of ids, and write what goes and the filter."""
    from ..shards.compare import write_drops

    layout, segment = comparison.layout, comparison.segment
    filter = open_filter(settings)
    known = 0
    for shard in range(comparison.shards):
        path = layout.keys(shard, segment)
        table = key_files.open_file(path)
        if settings.unit == "document":
            some = np.flatnonzero(table[2] > 0)
            rows = some[filter.add(np.asarray(table[0])[some] ^ np.asarray(table[1])[some])]
            write_drops(layout.drops(shard, segment), rows, [EARLIER] * len(rows))
            known += len(rows)
        else:
            marks = layout.beside(shard, segment, MARKS)
            with atomic_file(marks) as handle:
                np.save(handle, filter.add(np.asarray(table[0])), allow_pickle=False)
            known += write_cuts(comparison, shard, marks, places_of(path))[0]
    filter.write(layout.root / "seen" / FILTER)
    warn_when_full(filter.head)
    return {"seen": known, "remembered": filter.head.values, "false_positive_rate": filter.head.rate_now}


def warn_when_full(head: Head) -> None:
    """Say on stderr where the filter holds more than it was made for."""
    if head.values > head.capacity:
        print(
            f"seen_dedup: the filter holds {head.values} texts and was made for {head.capacity}; it now takes a share "
            f"of {head.rate_now:.2g} of new texts for known ones. Start one with more capacity.",
            file=sys.stderr,
        )
