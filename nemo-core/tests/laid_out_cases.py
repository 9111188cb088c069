"""What models laid out over gloo processes do beside plain training: adapters, teachers, sample answers."""

import dataclasses
from typing import Any

import torch
from parallel_cases import CPU, SHAPE, blocks, parts_of, ragged_batch

from nemo_core.config import NormConfig
from nemo_core.data.batch import IGNORED, Batch
from nemo_core.distill.loss import DistillationLoss
from nemo_core.model.decoder import Decoder
from nemo_core.model.initial import DrawnWeights
from nemo_core.model.skeleton import outline
from nemo_core.parallel.apply import parallelize
from nemo_core.parallel.settings import ParallelSettings
from nemo_core.peft.adapter import add_adapter, prefix_ids
from nemo_core.peft.settings import LoraSettings
from nemo_core.train.continuation import likeliest_answers
from nemo_core.train.objective import next_token_loss
from nemo_core.train.weights import trained_weights


@dataclasses.dataclass(frozen=True)
class Adapted:
    """An adapter on the tiny model: by which method, and what of the model is other than in `SHAPE`."""

    method: str
    settings: Any
    changes: dict[str, Any] = dataclasses.field(default_factory=dict)


def low_rank(changes: dict[str, Any], targets: tuple[str, ...], method: str = "lora") -> Adapted:
    """An addition of rank 2."""
    return Adapted(method, LoraSettings(rank=2, targets=targets), changes)


def adapted_gradient(world: Any, settings: ParallelSettings, adapted: Adapted, batch: Batch) -> float:
    """Largest difference of an adapter's gradient from that of one process, as a share of the largest gradient.

    With dropout, both begin with the same generator and compute the whole batch at once.
    """
    config = dataclasses.replace(SHAPE, **adapted.changes)
    is_whole = getattr(adapted.settings, "quantize", "none") != "none"
    reference, model = Decoder(config, seed=0), Decoder(config, seed=0) if is_whole else outline(config)
    weights = DrawnWeights(outline(config), config, seed=0)
    for each in (reference, model):
        add_adapter(each, adapted.method, adapted.settings, seed=1, read=weights)
        draw = torch.Generator().manual_seed(2)
        for _, weight in trained_weights(each):
            weight.detach().normal_(0.0, 0.02, generator=draw)
    batch = after_prefix(batch, prefix_ids(model))
    rows = 0 if getattr(adapted.settings, "dropout", 0.0) else 2
    torch.manual_seed(3)
    loss = next_token_loss(reference, batch) / batch.num_targets
    loss.backward()
    parallel = parallelize(model, settings, world, CPU, weights=None if is_whole else weights)
    torch.manual_seed(3)
    ours = parallel.accumulate(next_token_loss, batch, micro_rows=rows, num_targets=batch.num_targets, compute=CPU)
    assert abs(ours - float(loss.detach())) < 2e-6
    largest = max(float(weight.grad.abs().max()) for _, weight in trained_weights(reference))
    worst = 0.0
    for name, weight in trained_weights(model):
        found, expected = blocks(name, weight.grad, reference)
        worst = max(worst, float((found - expected).abs().max()) / largest) if expected.numel() else worst
    return worst


def after_prefix(batch: Batch, prefix: list[int]) -> Batch:
    """The rows after virtual tokens, of which nothing is learnt."""
    if not prefix:
        return batch
    prefix_BP = torch.tensor(prefix).expand(len(batch.ids_BT), -1)
    targets_BT = torch.cat([torch.full_like(prefix_BP, IGNORED), batch.targets_BT], 1)
    return Batch(torch.cat([prefix_BP, batch.ids_BT], 1), targets_BT)


def distilled_gradient(
    world: Any, settings: ParallelSettings, changes: dict[str, Any], weights: dict[str, float]
) -> float:
    """Largest difference of a gradient from one process's, learning from a teacher of another family."""
    family = {"rope": None, "norm": NormConfig(kind="layer", bias=True), "gated_mlp": False, "num_layers": 2}
    wider = {} if weights else {"hidden_size": 24}
    teacher = Decoder(dataclasses.replace(SHAPE, **family, **wider), seed=5).requires_grad_(False)
    objective = DistillationLoss(teacher, share=0.7, temperature=2.0, **weights)
    parts, batch = parts_of(world, settings, changes), ragged_batch(6)
    reference = Decoder(dataclasses.replace(SHAPE, **changes), seed=0)
    for row in range(len(batch.ids_BT)):
        (objective(reference, batch.rows(slice(row, row + 1))) / batch.num_targets).backward()
    parts.laid_out.accumulate(objective, batch, micro_rows=1, num_targets=batch.num_targets, compute=CPU)
    worst = 0.0
    for name, weight in parts.model.named_parameters():
        found, expected = blocks(name, weight.grad, reference)
        worst = max(worst, float((found - expected).abs().max())) if expected.numel() else worst
    return worst


TEXTS = [[3, 14, 15, 9, 26, 5], [35, 8], [9, 7, 9, 3, 2, 38, 4, 6, 26]]


def continued(world: Any, settings: ParallelSettings, changes: dict[str, Any], stop: int, most: int) -> list[list[int]]:
    """What a tiny model with pronounced opinions goes on with after `TEXTS`."""
    model = opinionated(changes)
    parallel = parallelize(model, settings, world, CPU)
    return likeliest_answers(parallel, TEXTS, stop_ids=frozenset({stop}), max_tokens=most, compute=CPU)


@torch.no_grad()
def opinionated(changes: dict[str, Any]) -> Decoder:
    """A model whose likeliest token is much likelier than the next, and changes from place to place."""
    model = Decoder(dataclasses.replace(SHAPE, **changes), seed=0)
    for weight in model.parameters():
        weight.mul_(4.0 if weight.ndim > 1 else 1.0)
    return model


@torch.no_grad()
def recomputed(changes: dict[str, Any], stop: int, most: int) -> list[list[int]]:
    """The same by one process that reads each text anew for every token."""
    model, found = opinionated(changes), []
    for text in TEXTS:
        said: list[int] = []
        while len(said) < most:
            token = int(model.logits(model(torch.tensor([[*text, *said]]))[0, -1]).argmax())
            if token == stop:
                break
            said.append(token)
        found.append(said)
    return found
