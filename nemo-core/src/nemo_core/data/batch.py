"""What a training step is fed: token ids, the token to predict at each place, and where documents begin and end.

Shapes: B rows, T places.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

IGNORED = -100


@dataclass(frozen=True)
class Batch:
    """`targets_BT` holds the next token, or IGNORED where nothing is to be learnt.

    `segments_BT` numbers the documents packed in a row and `positions_BT` counts within each; both None where a row is
    one stretch of text. `margins_BT` holds by how much the answer that ends at a target is to be preferred; None: by 0.
    """

    ids_BT: Tensor
    targets_BT: Tensor
    positions_BT: Tensor | None = None
    segments_BT: Tensor | None = None
    margins_BT: Tensor | None = None

    @property
    def num_targets(self) -> int:
        """Tokens that the loss counts."""
        return int((self.targets_BT != IGNORED).sum())

    def rows(self, chosen: slice) -> "Batch":
        """The batch of some of the rows."""
        return self._each(lambda tensor_BT: tensor_BT[chosen])

    def to(self, device: torch.device) -> "Batch":
        """The batch on another device."""
        return self._each(lambda tensor_BT: tensor_BT.to(device, non_blocking=True))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        columns: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(self)}
        changed: dict[str, Any] = {name: None if column is None else change(column) for name, column in columns.items()}
        return Batch(**changed)


def micro_batches(batch: Batch, *, rows: int) -> list[Batch]:
    """The batch cut into pieces of at most `rows` rows."""
    return [batch.rows(slice(start, start + rows)) for start in range(0, len(batch.ids_BT), rows)]
