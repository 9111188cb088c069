"""What a reward sees of an answer, and what it gives back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from nemo_core.foundation.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One generated answer.

    `row` is the dataset row its prompt came from; `is_finished` is True where the model ended its turn itself, False
    where it ran into the token limit.
    """

    answer: str
    row: Mapping[str, Any]
    num_tokens: int
    is_finished: bool

    def field(self, name: str) -> str:
        """The text under `name` in the row. Raises InputError where the row has none."""
        value = self.row.get(name)
        if not isinstance(value, str) or not value:
            raise InputError(
                f"row {self.row.get('id', '?')!r}: has no {name!r}, which a reward of this recipe reads "
                f"(it has: {', '.join(self.row)}); add it to the data or take the reward out"
            )
        return value

    @property
    def reference(self) -> str:
        """The answer that the row itself gives: its last assistant turn. Raises InputError where there is none."""
        for message in reversed(self.row.get("messages", [])):
            if message["role"] == "assistant":
                return str(message["content"])
        raise InputError(f"row {self.row.get('id', '?')!r}: has no assistant turn to compare an answer with")


class Reward(Protocol):
    """A score per sample, best in [0, 1]; None where a sample could not be scored (it is then left out of training)."""

    def __call__(self, samples: Sequence[Sample]) -> Sequence[float | None]:
        """One score per sample, in order."""
        ...
