"""One global batch through megatron.core's schedules: none, 1F1B, or interleaved stages."""

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from megatron.core.pipeline_parallel import get_forward_backward_func
from torch import Tensor

from ..data.batch import Batch
from ..foundation.errors import ConfigError
from ..parallel.model import pad_rows
from ..parallel.plan import ParallelPlan
from ..train.world import World
from .context import share
from .model import MegatronDecoder

Loss = Callable[[Any, Batch], Tensor]


def micro_batches(
    batch: Batch, world: World, plan: ParallelPlan, *, rows: int, stages: int, context_rank: int
) -> list[Batch]:
    """This process's micro batches, of one form, as many as every other process has; `rows` 0 chooses their size.

    Raises ConfigError where interleaved stages cannot take their number in rounds of the pipeline's length.
    """
    own = world.largest_share(len(batch.ids_BT))
    rows = rows or max(1, own // plan.pipeline)
    count = -(-own // rows)
    if stages > 1 and count % plan.pipeline:
        raise ConfigError(
            f"micro_batch_size={rows} makes {count} micro batches, but interleaved stages take them in rounds of "
            f"parallel.pipeline={plan.pipeline}; choose a size that makes a multiple of it"
        )
    mine = world.share(batch)
    cut = [mine.rows(slice(rows * number, rows * (number + 1))) for number in range(count)]
    padded = [pad_rows(micro, rows, like=batch) for micro in cut]
    return [share(micro, rank=context_rank, size=plan.context) for micro in padded]


def forward_and_backward(
    wrapped: Sequence[Any], decoders: Sequence[MegatronDecoder], micros: Sequence[Batch], objective: Loss
) -> Tensor:
    """Leave the gradient of the mean loss in the buffers; this process's part of the summed loss.

    `wrapped` are the decoders' models in megatron.core's DistributedDataParallel.
    """
    decoder_of = {id(one): decoder for one, decoder in zip(wrapped, decoders, strict=True)}
    packed = micros[0].segments_BT is not None and decoders[0].packs
    rows, length = micros[0].ids_BT.shape

    def step(batches: Iterator[Batch], model: Any) -> tuple[Tensor, Callable[[Tensor], Any] | None]:
        micro, decoder = next(batches), decoder_of[id(model)]
        if not decoder.is_last:
            return decoder(micro.ids_BT, micro.positions_BT, micro.segments_BT), None
        await_weights(model, [decoder.own_head_weight])
        return objective(decoder, micro), functools.partial(with_count, count=micro.num_targets)

    losses = get_forward_backward_func()(
        forward_step_func=step,
        data_iterator=[iter(micros) for _ in wrapped],
        model=list(wrapped),
        num_microbatches=len(micros),
        seq_length=(rows * length if packed else length) * decoders[0].degrees.context,
        micro_batch_size=1 if packed else rows,
    )
    zero = torch.zeros((), device=micros[0].ids_BT.device)
    return torch.stack([zero, *losses]).sum()


def with_count(loss: Tensor, *, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """A summed loss, its number of tokens, and the loss to report."""
    return loss, torch.tensor(count, dtype=torch.int, device=loss.device), loss.detach()


def await_weights(model: Any, weights: Sequence[Tensor]) -> None:
    """Wait until weights that are used outside their modules are gathered after the last step."""
    if model.use_forward_hook:
        for weight in weights:
            model.param_to_bucket_group[weight].finish_param_sync()
