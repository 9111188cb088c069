"""Hidden states inside two models, compared layer by layer (Minitron, Muralidharan et al. 2024, section 3).

N tokens, E hidden width.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..data.batch import IGNORED, Batch
from ..model.decoder import Decoder


@contextmanager
def overheard(model: Decoder, parts: Sequence[str]) -> Iterator[dict[str, list[Tensor]]]:
    """Inside the block, what every layer gives: "layer" its output, "attention" what its attention gives alone."""
    told: dict[str, list[Tensor]] = {part: [] for part in parts}
    layers: Any = model.model.layers
    hooks = []
    for layer in layers:
        for part, module in (("layer", layer), ("attention", layer.self_attn)):
            if part in told:
                hooks.append(module.register_forward_hook(teller(told[part])))
    try:
        yield told
    finally:
        for hook in hooks:
            hook.remove()


def teller(into: list[Tensor]) -> Any:
    """A hook that keeps a module's output."""
    return lambda module, inputs, output: into.append(output)


def teacher_layers(student: int, teacher: int) -> list[int]:
    """For each of the student's layers the teacher's at the same share of its depth, the last for the last."""
    return [(layer + 1) * teacher // student - 1 for layer in range(student)]


def summed_distance(student: Sequence[Tensor], teacher: Sequence[Tensor], batch: Batch) -> Tensor:
    """Squared distance as a share of the teacher's squared length, mean over layers, summed over target tokens."""
    counted_BT = batch.targets_BT != IGNORED
    total = torch.zeros((), device=batch.targets_BT.device)
    matched = teacher_layers(len(student), len(teacher))
    for mine, number in zip(student, matched, strict=True):
        mine_NE, theirs_NE = mine[counted_BT].float(), teacher[number][counted_BT].float()
        length_N = theirs_NE.square().sum(-1).clamp_min(torch.finfo(torch.float32).tiny)
        total = total + ((mine_NE - theirs_NE).square().sum(-1) / length_N).sum()
    return total / len(matched)
