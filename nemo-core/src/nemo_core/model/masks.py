"""Which keys a query may look at.

B batch, T query, S key.
"""

import torch
from torch import Tensor


def block_causal(segments_BT: Tensor) -> Tensor:
    """True where a query may look: earlier or same place of the same segment. [B, T] -> [B, 1, T, T]."""
    length = segments_BT.shape[1]
    same_BTS = segments_BT[:, :, None] == segments_BT[:, None, :]
    causal_TS = torch.ones(length, length, dtype=torch.bool, device=segments_BT.device).tril()
    return (same_BTS & causal_TS)[:, None]


def causal_window(length: int, window: int, device: torch.device) -> Tensor:
    """True for the `window` latest places up to the query's own. [1, 1, T, T]."""
    place_T = torch.arange(length, device=device)
    ahead_TS = place_T[:, None] - place_T
    return ((ahead_TS >= 0) & (ahead_TS < window))[None, None]


def latest(allowed: Tensor, window: int) -> Tensor:
    """Of the keys each query may look at, only the `window` last. [..., T, S] bool -> the same.

    Keys lie in the order of their positions, and what a query may look at ends with itself, so this is a sliding window
    whatever padding, packing or cache decided what is allowed.
    """
    following = allowed.flip(-1).cumsum(-1).flip(-1)
    return allowed & (following <= window)
