"""Summing gradients over processes with the same weights: a few large messages, sent while others are computed."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor


class Buckets:
    """Sums gradients over `group` in buckets of about `max_bytes`.

    Buckets go out in the same order in every process, whichever gradient is ready first; a process without rows sends
    zeros. Between micro batches nothing is sent: call `expect` before the last backward pass, `finish` after it.
    """

    def __init__(self, weights: Sequence[nn.Parameter], group: dist.ProcessGroup | None, *, max_bytes: float) -> None:
        self.group = group
        self.buckets = cut(list(reversed(weights)), max_bytes)
        self.place = {weight: number for number, bucket in enumerate(self.buckets) for weight in bucket}
        self.missing: list[int] | None = None
        self.sent: list[tuple[Tensor, dist.Work]] = []
        for weight in weights:
            weight.register_post_accumulate_grad_hook(self.note)

    def expect(self) -> None:
        """The next backward pass completes the gradients."""
        self.missing, self.sent = [len(bucket) for bucket in self.buckets], []

    def note(self, weight: Tensor) -> None:
        """A gradient is complete: send every bucket whose turn has come."""
        if self.missing is None:
            return
        self.missing[self.place[weight]] -= 1  # type: ignore[index]
        while len(self.sent) < len(self.buckets) and not self.missing[len(self.sent)]:
            self.send()

    def send(self) -> None:
        """Begin to sum the next bucket."""
        bucket = self.buckets[len(self.sent)]
        flat = torch.cat([local_gradient(weight).reshape(-1) for weight in bucket])
        self.sent.append((flat, dist.all_reduce(flat, group=self.group, async_op=True)))

    def finish(self) -> None:
        """Send what is left, wait for the sums, and put them into the weights' gradients."""
        if self.missing is None:
            self.expect()
        self.missing = None
        while len(self.sent) < len(self.buckets):
            self.send()
        for bucket, (flat, work) in zip(self.buckets, self.sent):
            work.wait()
            for weight, summed in zip(bucket, flat.split([local(weight).numel() for weight in bucket])):
                local_gradient(weight).copy_(summed.view_as(local(weight)))
        self.sent = []


def cut(weights: Sequence[nn.Parameter], max_bytes: float) -> list[list[nn.Parameter]]:
    """Weights in order, in lists of at most `max_bytes` and one number format each."""
    buckets: list[list[nn.Parameter]] = []
    room = 0.0
    for weight in weights:
        size = local(weight).numel() * weight.element_size()
        if not buckets or size > room or buckets[-1][0].dtype != weight.dtype:
            buckets.append([])
            room = max_bytes
        buckets[-1].append(weight)
        room -= size
    return buckets


def local(tensor: Tensor) -> Tensor:
    """What this process holds of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def local_gradient(weight: nn.Parameter) -> Tensor:
    """This process's gradient of a weight, laid out as the weight; zeros where the backward pass did not reach it."""
    gradient: Any = weight.grad
    if gradient is None:
        weight.grad = torch.zeros_like(weight)
    elif isinstance(weight, DTensor) and gradient.placements != weight.placements:
        weight.grad = gradient.redistribute(placements=weight.placements)
    assert weight.grad is not None
    return local(weight.grad)
