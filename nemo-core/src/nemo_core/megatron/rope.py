"""Rotary embedding for megatron.core that takes our frequency table, on CPU and GPU.

megatron.core's own knows one of llama3's four numbers and moves its table to a GPU; ours is the table of the native
implementation, so both turn by the same angles. T position, D rotated width, F = D/2 frequencies, K kinds of layer.
"""

from collections.abc import Sequence
from typing import Any

import torch
from megatron.core.models.common.embeddings.rope_utils import get_pos_emb_on_this_cp_rank
from megatron.core.models.common.embeddings.rotary_pos_embedding import RotaryEmbedding
from torch import Tensor, nn


class TableRotaryEmbedding(RotaryEmbedding):  # type: ignore[misc]
    """Angles from one frequency table per kind of layer; with several, they are stacked in front: [K,T,1,1,D].

    `long_KF` are longrope's tables for sequences beyond its original positions.
    """

    def __init__(self, tables_KF: Sequence[Tensor], long_KF: Sequence[Tensor] = (), *, cp_group: Any) -> None:
        nn.Module.__init__(self)
        self.rotary_interleaved = False
        self.seq_len_interpolation_factor = None
        self.inv_freq = tables_KF[0]
        self.tables_KF = torch.stack(list(tables_KF))
        self.long_KF = torch.stack(list(long_KF or tables_KF))
        self.cp_group = cp_group

    def get_emb(self, max_seq_len: int, offset: int = 0, *, is_long: bool = False) -> Tensor:
        """Angles of every position: [T,1,1,D] with one table, [K,T,1,1,D] with several."""
        tables_KF = self.long_KF if is_long else self.tables_KF
        position_T = torch.arange(max_seq_len, dtype=torch.float32, device=self.tables_KF.device) + offset
        angle_KTF = position_T[None, :, None] * tables_KF[:, None, :]
        angle_KTD = torch.cat([angle_KTF, angle_KTF], -1)[:, :, None, None, :]
        return angle_KTD[0] if len(angle_KTD) == 1 else angle_KTD

    def forward(
        self,
        max_seq_len: int,
        offset: int = 0,
        packed_seq: bool = False,
        cp_group: Any = None,
        *,
        is_long: bool = False,
    ) -> Tensor:
        """Angles, cut to this context-parallel rank's part where the sequence is shared out."""
        angles = self.get_emb(max_seq_len, offset, is_long=is_long)
        group = cp_group if cp_group is not None else self.cp_group
        if packed_seq or group is None or group.size() == 1:
            return angles
        own: Tensor = get_pos_emb_on_this_cp_rank(angles, angles.ndim - 4, group)
        return own

    def _apply(self, fn: Any, recurse: bool = True) -> "TableRotaryEmbedding":
        """Follow the model to its device; the table itself stays float32, whatever the weights are."""
        super()._apply(fn, recurse)
        device = fn(torch.zeros(1)).device
        self.tables_KF, self.long_KF = self.tables_KF.to(device), self.long_KF.to(device)
        self.inv_freq = self.tables_KF[0]
        return self
