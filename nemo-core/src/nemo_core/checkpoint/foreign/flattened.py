"""Tensors that megatron.core up to 0.15 stored flat (``fully_sharded_model_space``): every shard as one row of numbers.

F fragments along each axis of the tensor, N numbers of a shard.
"""

import math
from collections.abc import Sequence

from torch import Tensor

Shape = Sequence[int]


def fits(stored: Shape, shape: Shape, *, stacked: int) -> bool:
    """Whether fragments and a last axis of numbers make up a tensor of `shape`, whose first `stacked` axes stack
    single layers or experts.
    """
    *fragments, numbers = stored
    return (
        len(fragments) == len(shape)
        and tuple(fragments[:stacked]) == tuple(shape[:stacked])
        and all(size % fragment == 0 for size, fragment in zip(shape, fragments, strict=True))
        and math.prod(stored) == math.prod(shape)
        and numbers == math.prod(size // fragment for size, fragment in zip(shape, fragments, strict=True))
    )


def put_together(flat_FN: Tensor, shape: Shape) -> Tensor:
    """The tensor of `shape` whose shards these are; its axes are cut evenly."""
    *fragments, _ = flat_FN.shape
    axes = len(fragments)
    parts = [size // fragment for size, fragment in zip(shape, fragments, strict=True)]
    interleaved = [axis for pair in zip(range(axes), range(axes, 2 * axes), strict=True) for axis in pair]
    return flat_FN.reshape(*fragments, *parts).permute(interleaved).reshape(*shape)
