"""Pipeline parallel (Huang et al. 2019; Narayanan et al. 2021) through torch.distributed.pipelining.

A stage is the decoder with the layers it holds and, at the ends, the embedding and the final norm with the head; it
runs the decoder's own forward pass, so every family that has one can be cut into stages.

M micro batches, B rows of one, T places, E hidden width.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.pipelining import PipelineStage, Schedule1F1B, ScheduleGPipe, ScheduleInterleaved1F1B

from ..data.batch import Batch
from ..model.attention import LayerCache
from ..model.decoder import Decoder
from ..peft.places import AdaptedEmbedding
from ..train.objective import Objective


class SomeLayers(nn.ModuleDict):
    """Consecutive layers under the numbers they have in the whole model; iterates over the layers themselves."""

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values())


class PassOn(nn.Module):
    """In place of what another stage has done already, or will do."""

    def forward(self, x: Tensor) -> Tensor:
        """The input."""
        return x


def bounds(num_layers: int, num_stages: int) -> list[range]:
    """Layer numbers of each stage, as even as can be."""
    edges = [stage * num_layers // num_stages for stage in range(num_stages + 1)]
    return [range(low, high) for low, high in itertools.pairwise(edges)]


def learning_stages(model: Decoder, num_stages: int) -> list[bool]:
    """For each stage whether its output has a gradient: whether anything is trained in it or before it."""
    trunk = model.model
    embeddings = [module for module in (trunk.embed_tokens, trunk.embed_positions) if module is not None]
    learns = any(is_trained(module) for module in embeddings)
    found: list[bool] = []
    for numbers in bounds(model.config.num_layers, num_stages):
        learns = learns or any(is_trained(trunk.layers[number]) for number in numbers)
        found.append(learns)
    return found


def is_trained(module: nn.Module) -> bool:
    """Whether training changes a weight of a module."""
    return any(weight.requires_grad for weight in module.parameters())


def own_stages(rank: int, pipeline: int, stages_per_rank: int) -> list[int]:
    """The stages of a process: every `pipeline`-th, beginning with its rank."""
    return [rank + turn * pipeline for turn in range(stages_per_rank)]


def keep_stages(model: Decoder, stages: list[int], num_stages: int) -> list[Decoder]:
    """Remove from `model`, in place, what other processes hold; one view of the rest per stage, sharing its modules."""
    trunk: Any = model.model
    ranges = bounds(model.config.num_layers, num_stages)
    layers = {str(n): model.model.layers[n] for stage in stages for n in ranges[stage]}
    has_first, has_last = 0 in stages, num_stages - 1 in stages
    if not has_last:
        model.lm_head = None
        trunk.norm = PassOn()
    if not has_first:
        trunk.embed_positions = None
        is_head = has_last and model.config.tied_embeddings
        trunk.embed_tokens = without_prompts(trunk.embed_tokens) if is_head else PassOn()
    trunk.layers = SomeLayers(layers)
    return [stage_view(model, ranges[stage], is_first=stage == 0, is_last=stage == num_stages - 1) for stage in stages]


def without_prompts(embedding: nn.Module) -> nn.Module:
    """The frozen embedding alone: prompts are read, and learn, in the first stage only."""
    return embedding.base if isinstance(embedding, AdaptedEmbedding) else embedding


class Continued(Decoder):
    """A stage that is not the first: what it is called with is embedded already."""

    def embed(self, ids_BT: Tensor, positions_BT: Tensor | None = None) -> Tensor:
        """The hidden states of the stage before."""
        return ids_BT


def stage_view(model: Decoder, numbers: range, *, is_first: bool, is_last: bool) -> Decoder:
    """A decoder that runs one stage with the modules of `model`."""
    view, trunk = shallow(model), shallow(model.model)
    held: Any = model.model.layers
    trunk.layers = SomeLayers({str(n): held[str(n)] for n in numbers})
    if not is_first:
        trunk.embed_tokens, trunk.embed_positions = PassOn(), None
        view.__class__ = Continued
    if not is_last:
        trunk.norm, view.lm_head = PassOn(), None
    elif not is_first and model.config.tied_embeddings:
        view.tied_head = model.model.embed_tokens  # used by the objective: whoever gathers the stage gathers it, too
    view.model = trunk
    view.layer_ropes = [model.layer_ropes[n] for n in numbers]
    kinds = tuple(model.config.layer_kind(n) for n in numbers) if model.config.window is not None else ()
    view.config = dataclasses.replace(
        model.config, num_layers=len(numbers), layer_kinds=kinds, unturned_layers=(), moe=None
    )
    stage: Decoder = view
    return stage


def shallow(module: Any) -> Any:
    """A second module with the same parts, whose parts can be replaced without touching the first."""
    twin = object.__new__(type(module))
    twin.__dict__.update(module.__dict__)
    for name in ("_modules", "_parameters", "_buffers"):
        twin.__dict__[name] = dict(module.__dict__[name])
    return twin


@dataclass(frozen=True)
class Answered:
    """A decoder that has computed its hidden states already: what an objective is handed at the last stage."""

    hidden_BTE: Tensor
    model: Decoder

    def __call__(self, *_: object) -> Tensor:
        """The hidden states."""
        return self.hidden_BTE

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


@dataclass(frozen=True)
class Stages:
    """This process's stages, and for each stage of all whether its output has a gradient."""

    views: list[Decoder]
    learns: list[bool]


@dataclass(frozen=True)
class Between:
    """Where hidden states between stages are kept, and in which number format."""

    device: torch.device
    dtype: torch.dtype


class Pipeline:
    """Runs micro batches through the stages of all processes of `group`."""

    def __init__(
        self, model: Decoder, stages: Stages, group: dist.ProcessGroup, *, kind: str, between: Between
    ) -> None:
        self.model, self.views, self.group, self.kind = model, stages.views, group, kind
        self.learns, self.device, self.dtype = stages.learns, between.device, between.dtype
        self.rank, self.size = group.rank(), group.size()
        self.num_stages = self.size * len(self.views)
        self.objective: Objective | None = None
        self.divisor = 1
        self.schedules: dict[tuple[Any, ...], Any] = {}

    @property
    def is_last(self) -> bool:
        """Whether this process computes losses."""
        return self.rank == self.size - 1

    def num_micro_batches(self, wanted: int) -> int:
        """`wanted`, made large enough (and, interleaved, a multiple of the processes) for the schedule."""
        if self.kind == "interleaved":
            return -(-wanted // self.size) * self.size
        return max(wanted, self.num_stages)

    def accumulate(
        self, objective: Objective, batch: Batch, extra: Mapping[str, Any], *, micro_rows: int, num_targets: int
    ) -> Tensor:
        """Leave gradients in the weights; the summed loss over `num_targets` at the last stage, 0 elsewhere.

        `batch` has a whole number of micro batches of `micro_rows` rows; `extra` is what every stage is called with
        besides its input.
        """
        self.objective, self.divisor = objective, max(1, num_targets)
        extra = {name: value for name, value in extra.items() if value is not None}
        schedule = self.schedule(len(batch.ids_BT) // micro_rows, micro_rows, batch, tuple(extra))
        first = (batch.ids_BT,) if self.rank == 0 else ()
        losses: list[Tensor] = []
        last = {"target": batch.targets_BT, "losses": losses} if self.is_last else {}
        schedule.step(*first, **extra, **last)
        return torch.stack([loss.detach() for loss in losses]).sum() if losses else torch.zeros((), device=self.device)

    def schedule(self, count: int, rows: int, batch: Batch, extra: tuple[str, ...]) -> Any:
        """The schedule for micro batches of this form."""
        key = (count, rows, batch.ids_BT.shape[1], extra)
        if key not in self.schedules:
            numbers = own_stages(self.rank, self.size, len(self.views))
            stages: list[Any] = [
                self.stage(view, number, batch.ids_BT[:rows]) for number, view in zip(numbers, self.views)
            ]
            options: dict[str, Any] = {"n_microbatches": count, "loss_fn": self.loss, "scale_grads": False}
            if self.kind == "interleaved":
                self.schedules = {key: ScheduleInterleaved1F1B(stages, **options)}
            else:
                kind = Schedule1F1B if self.kind == "1f1b" else ScheduleGPipe
                self.schedules = {key: kind(stages[0], **options)}
        return self.schedules[key]

    def stage(self, view: Decoder, number: int, ids_BT: Tensor) -> PipelineStage:
        """A stage for micro batches like `ids_BT`.

        It is told the form of what goes in and out. Torch would find that out by running it on memory with no numbers
        in it, and routers of experts would then send tokens another way in each tensor-parallel process.
        """
        shape = (*ids_BT.shape, self.model.config.hidden_size)

        def hidden(after: int) -> Tensor:
            return torch.empty(shape, dtype=self.dtype, device=self.device, requires_grad=self.learns[after])

        given = ids_BT if number == 0 else hidden(number - 1)
        return PipelineStage(
            view, number, self.num_stages, self.device, given, output_args=hidden(number), group=self.group
        )

    def loss(self, hidden_BTE: Tensor, targets_BT: Tensor) -> Tensor:
        """The objective at the last stage."""
        assert self.objective is not None
        answered: Any = Answered(hidden_BTE, self.model)
        return self.objective(answered, Batch(targets_BT, targets_BT)) / self.divisor

    @torch.no_grad()
    def __call__(
        self,
        ids_BT: Tensor,
        positions_BT: Tensor | None = None,
        segments_BT: Tensor | None = None,
        cache: Sequence[LayerCache] | None = None,
        allowed: Tensor | None = None,
        planned_length: int | None = None,
    ) -> Tensor:
        """Hidden states of the whole model in every process, without gradient: stage after stage.

        As a decoder's; of a `cache` of all layers each process fills those that it has.
        """
        x: Tensor = ids_BT
        for number, layers in enumerate(bounds(self.model.config.num_layers, self.num_stages)):
            owner = number % self.size
            if owner == self.rank:
                own = None if cache is None else [cache[layer] for layer in layers]
                view = self.views[number // self.size]
                x = view(x, positions_BT, segments_BT, own, allowed, planned_length)
            if number == self.num_stages - 1 or self.size > 1:
                x = self.hand_on(x, ids_BT, owner)
        return x

    def hand_on(self, x: Tensor, ids_BT: Tensor, owner: int) -> Tensor:
        """The output of the stage of `owner`, in every process."""
        if owner != self.rank:
            x = torch.empty(*ids_BT.shape, self.model.config.hidden_size, device=self.device, dtype=self.dtype)
        x = x.to(self.dtype).contiguous()
        dist.broadcast(x, dist.get_global_rank(self.group, owner), group=self.group)
        return x
