"""A model laid out over the processes of a run, and one global batch learnt with it."""

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from ..checkpoint.folder import refuse_adapters, save_read
from ..checkpoint.mapping.rules import Read
from ..checkpoint.reader import TensorInfo
from ..checkpoint.state import optimizer_tensors, restore_optimizer
from ..checkpoint.state_names import StateNames, decoder_prefix, spell
from ..checkpoint.state_piece import Piece, pieces_to_write
from ..checkpoint.state_step import SavedState
from ..data.batch import IGNORED, Batch, micro_batches
from ..model.decoder import Decoder
from ..model.heads import capped
from ..train.device import Compute
from ..train.ema import Ema
from ..train.objective import Objective
from ..train.weights import trained_weights
from ..train.world import World
from .buckets import Buckets, local, local_gradient
from .context import StretchedDecoder, stretch
from .fsdp import drop_gathered, send_gradients
from .gather import reading, whole_model
from .loss import objective_for
from .mesh import Layout
from .pipeline import Pipeline
from .plan import ParallelPlan


@dataclasses.dataclass
class ParallelModel:
    """What the loop needs to know of how a model is laid out. Made by `parallelize`."""

    layout: Layout
    model: Decoder
    blueprint: Decoder
    buckets: tuple[Buckets, ...] = ()
    expert_names: frozenset[str] = frozenset()  # weights that only some processes of the batch hold
    pipeline: Pipeline | None = None
    mirrored: frozenset[str] = frozenset()  # weights that another stage holds too and saves
    shared_by_end_stages: frozenset[str] = frozenset()
    end_stages: dist.ProcessGroup | None = None
    own_optimizer: Optimizer | None = None  # where it comes with the layout
    shares_optimizer: bool = False  # whether that shares weights out over processes

    @property
    def world(self) -> World:
        """This process among all."""
        return self.layout.world

    @property
    def plan(self) -> ParallelPlan:
        """The degrees of the layout."""
        return self.layout.plan

    @property
    def roots(self) -> list[Decoder]:
        """What is called forward: the stages of a pipeline, or the model."""
        return [self.model] if self.pipeline is None else self.pipeline.views

    def average(self, decay: float) -> Ema:
        """A running average of the weights that begins now."""
        return Ema(self.model, decay=decay)

    def router_biases(self) -> dict[str, Tensor]:
        """The biases that steer which experts are chosen, by name."""
        return {name: buffer for name, buffer in self.model.named_buffers() if name.endswith("e_score_correction_bias")}

    @property
    def is_complete(self) -> bool:
        """Whether this process holds (its part of) every weight."""
        return self.layout.plan.pipeline == self.layout.plan.expert == 1

    def accumulate(
        self, objective: Objective, batch: Batch, *, micro_rows: int, num_targets: int, compute: Compute
    ) -> float:
        """Leave the gradient of the summed loss over `num_targets` in the weights, over all processes; the loss."""
        rows = micro_rows or max(1, self.world.largest_share(len(batch.ids_BT)))
        if self.pipeline is not None:
            total = self.through_pipeline(objective, batch, micro_rows=rows, num_targets=num_targets, compute=compute)
        else:
            total = self.through_layers(objective, batch, micro_rows=rows, num_targets=num_targets, compute=compute)
        self.complete_gradients()
        if self.layout.plan.tensor > 1:
            total = total / self.layout.plan.tensor  # its processes all have the same loss
        self.world.sum_([total])
        return float(total)

    def through_layers(
        self, objective: Objective, batch: Batch, *, micro_rows: int, num_targets: int, compute: Compute
    ) -> Tensor:
        """Forward and backward pass of every micro batch of this process; their loss."""
        if self.layout.plan.tensor > 1:
            objective = objective_for(objective)
        micros = self.equal_micro_batches(batch, micro_rows)
        total = torch.zeros((), device=compute.device)
        for number, micro in enumerate(micros, 1):
            self.before_backward(is_last=number == len(micros))
            seen, model = self.own_places(micro.to(compute.device))
            with compute.precision():
                loss = objective(model, seen) / max(1, num_targets)
            loss.backward()
            total += loss.detach()
        return total

    def through_pipeline(
        self, objective: Objective, batch: Batch, *, micro_rows: int, num_targets: int, compute: Compute
    ) -> Tensor:
        """As `through_layers`, with the layers in several processes."""
        assert self.pipeline is not None
        if self.layout.plan.tensor > 1:
            objective = objective_for(objective)
        most = self.world.largest_share(len(batch.ids_BT))
        count = self.pipeline.num_micro_batches(-(-most // micro_rows))
        micro_rows = max(1, -(-most // count))
        padded = pad_rows(self.world.share(batch), count * micro_rows, like=batch).to(compute.device)
        seen, extra = self.stage_inputs(padded)
        with compute.precision():  # its backward passes come in any order: gradients are summed after the last
            return self.pipeline.accumulate(objective, seen, extra, micro_rows=micro_rows, num_targets=num_targets)

    def stage_inputs(self, batch: Batch) -> tuple[Batch, dict[str, Any]]:
        """The places of a batch that this process computes, and what each stage is called with besides its input."""
        seen, model = self.own_places(batch)
        if not isinstance(model, StretchedDecoder):
            return seen, {"positions_BT": seen.positions_BT, "segments_BT": seen.segments_BT}
        extra = model.surroundings(seen.ids_BT, seen.positions_BT, seen.segments_BT)
        return seen, extra | {"allowed": extra["allowed"].expand(len(seen.ids_BT), -1, -1, -1)}

    def equal_micro_batches(self, batch: Batch, rows: int) -> list[Batch]:
        """This process's micro batches, as many as every other process has."""
        if self.layout.plan.is_plain:
            return micro_batches(self.world.share(batch), rows=rows)
        return equal_micro_batches(self.world, batch, rows)

    def own_places(self, micro: Batch) -> tuple[Batch, Any]:
        """The part of each row that this process computes, and the model to compute it with."""
        if self.layout.plan.context == 1:
            return micro, self.model
        group = self.layout.group("context")
        return stretch(micro, group), StretchedDecoder(self.model, group)

    def before_backward(self, *, is_last: bool) -> None:
        """Send gradients in the backward pass that completes them, and only then."""
        if self.layout.plan.fsdp > 1:
            send_gradients(self.model, is_last)
        for buckets in self.buckets if is_last else ():
            buckets.expect()

    def complete_gradients(self) -> None:
        """Wait until every weight has the gradient of the whole batch."""
        for weight in self.model.parameters():
            if weight.requires_grad:
                local_gradient(weight)
        for buckets in self.buckets:
            buckets.finish()
        if self.layout.plan.is_plain and not self.buckets:
            self.world.sum_([weight.grad for weight in self.model.parameters() if weight.grad is not None])
        for name in sorted(self.shared_by_end_stages):
            gradient = self.model.get_parameter(name).grad
            assert gradient is not None
            dist.all_reduce(local(gradient), group=self.end_stages)

    @torch.no_grad()
    def clip(self, max_norm: float) -> float:
        """Shorten the gradient to `max_norm` and return how long it was."""
        weights = [weight for weight in self.model.parameters() if weight.requires_grad]
        if self.layout.plan.is_plain:
            return float(nn.utils.clip_grad_norm_(weights, max_norm, foreach=True))
        squared = torch.zeros((), dtype=torch.float32, device=weights[0].device if weights else "cpu")
        for name, weight in self.model.named_parameters():
            if weight.grad is not None and name not in self.mirrored and self.owns(name, weight.grad):
                squared += local(weight.grad).float().square().sum()
        self.world.sum_([squared])
        norm = float(squared.sqrt())
        scale = min(1.0, max_norm / (norm + 1e-6))
        if scale < 1.0:
            for weight in weights:
                if weight.grad is not None:
                    local(weight.grad).mul_(scale)
        return norm

    def owns(self, name: str, tensor: Tensor) -> bool:
        """Whether this process is the first that holds this part of a tensor of the weight `name`."""
        is_expert = name in self.expert_names
        if isinstance(tensor, DTensor):
            return self.layout.owns(tensor, is_expert=is_expert)
        return self.layout.stage_rank(is_expert=is_expert) == 0

    def select(self, tensors: Mapping[str, Tensor], world: World) -> list[Piece]:
        """The blocks of a state that this process writes."""
        own = {name: tensor for name, tensor in tensors.items() if name.startswith(f"rng.{world.rank}.")}
        rest = {name: t for name, t in tensors.items() if name not in own and not self.is_mirrored(name)}
        of_experts = {name: tensor for name, tensor in rest.items() if spell(name).weight in self.expert_names}
        of_all = {name: tensor for name, tensor in rest.items() if name not in of_experts}
        pieces = [*self.share_of(of_all, is_expert=False), *self.share_of(of_experts, is_expert=True)]
        return [*pieces, *pieces_to_write(own, rank=0, size=1)]

    def share_of(self, tensors: Mapping[str, Tensor], *, is_expert: bool) -> list[Piece]:
        """What this process writes of tensors that all of its stage hold, or all with the same experts."""
        layout = self.layout
        return pieces_to_write(
            tensors,
            rank=layout.stage_rank(is_expert=is_expert),
            size=layout.stage_size(is_expert=is_expert),
            owns=functools.partial(layout.owns, is_expert=is_expert),
            group=StateNames(self.model.config, prefix=decoder_prefix(self.model)).group,
        )

    def trained_names(self) -> set[str]:
        """Names of the weights that this process trains."""
        return {name for name, _ in trained_weights(self.model)}

    def state(self, optimizer: Optimizer) -> dict[str, Tensor]:
        """Trained weights and the optimizer's moments."""
        weights = {name: weight.detach() for name, weight in trained_weights(self.model)}
        return {**weights, **optimizer_tensors(optimizer, self.model)}

    @torch.no_grad()
    def restore(self, saved: SavedState, optimizer: Optimizer) -> None:
        """Put a saved state into weights and optimizer."""
        for name, weight in trained_weights(self.model):
            weight.copy_(saved.fill(name, weight))
        restore_optimizer(optimizer, self.model, saved)

    def is_mirrored(self, name: str) -> bool:
        """Whether a tensor of the state belongs to a weight that another stage saves."""
        return any(name in (weight, f"ema.{weight}") or name.startswith(f"optim.{weight}.") for weight in self.mirrored)

    @contextlib.contextmanager
    def measuring(self) -> Iterator[Any]:
        """A model to look at without gradient, called by all processes alike."""
        try:
            yield self.model if self.pipeline is None else PipelinedDecoder(self.pipeline)
        finally:
            for root in self.roots:
                drop_gathered(root)

    def whole(self) -> Decoder | None:
        """The whole model on the CPU of the first process; None in the others. All processes call it."""
        if self.layout.plan.is_plain:
            return self.model if self.world.is_first else None
        weights = dict(self.model.named_parameters())
        return whole_model(self.current_blueprint(), weights, is_first=self.world.is_first)

    @torch.no_grad()
    def current_blueprint(self) -> Decoder:
        """The model without weights, its buffers (biases of routers, which may move) as they are here."""
        here = dict(self.model.named_buffers())
        for name, buffer in self.blueprint.named_buffers():
            if name in here:
                buffer.copy_(here[name])
        return self.blueprint

    def save(self, folder: Path) -> None:
        """Write the whole model into `folder`, by the first process, tensor by tensor. All processes call it."""
        with self.reading() as whole:
            if whole is not None:
                refuse_adapters(whole.infos, folder)
                save_read(whole.model.config, whole.infos, whole.read, folder)

    @contextlib.contextmanager
    def reading(self) -> Iterator["Whole | None"]:
        """In the first process the whole model, its tensors one at a time; None in the others. All processes enter."""
        if self.layout.plan.is_plain:
            tensors = self.model.state_dict() if self.world.is_first else {}
            yield Whole(self.model, infos_of(tensors), tensors.__getitem__) if self.world.is_first else None
            return
        blueprint, weights = self.current_blueprint(), dict(self.model.named_parameters())
        held = blueprint.state_dict()
        with reading(weights_of(held), weights, is_first=self.world.is_first) as read:
            known = None if read is None else functools.partial(one_of, held, read)
            yield None if known is None else Whole(blueprint, infos_of(held), known)


@dataclasses.dataclass(frozen=True)
class Whole:
    """A model, maybe without numbers; the form of all its tensors, and what gives each of them."""

    model: Decoder
    infos: dict[str, TensorInfo]
    read: Read


def infos_of(tensors: Mapping[str, Tensor]) -> dict[str, TensorInfo]:
    """The form of each tensor."""
    return {name: TensorInfo(tuple(tensor.shape), tensor.dtype) for name, tensor in tensors.items()}


def weights_of(tensors: Mapping[str, Tensor]) -> list[str]:
    """Names of the tensors of a blueprint that processes hold; the others are the same in all."""
    return [name for name, tensor in tensors.items() if tensor.is_meta]


def one_of(held: Mapping[str, Tensor], read: Callable[[str], Tensor], name: str) -> Tensor:
    """A tensor of a blueprint, or what is read where it has no numbers."""
    return read(name) if held[name].is_meta else held[name]


class PipelinedDecoder:
    """A decoder whose layers are in several processes, for looking only."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline

    def __call__(self, *inputs: Any) -> Tensor:
        """Hidden states of the whole model in every process."""
        return self.pipeline(*inputs)

    def eval(self) -> None:
        """Switch to measuring."""
        self.pipeline.model.eval()

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary, [..., V], computed by every process."""
        return capped(hidden @ self.head_weight.T, self.pipeline.model.config.logit_softcap)

    @functools.cached_property
    def head_weight(self) -> Tensor:
        """Output embedding, [V, E], in every process."""
        config, pipeline = self.pipeline.model.config, self.pipeline
        if pipeline.is_last:
            weight = pipeline.model.head_weight.detach()
            weight = (weight.full_tensor() if isinstance(weight, DTensor) else weight).to(pipeline.dtype).contiguous()
        else:
            weight = torch.empty(config.vocab_size, config.hidden_size, dtype=pipeline.dtype, device=pipeline.device)
        dist.broadcast(weight, dist.get_global_rank(pipeline.group, pipeline.size - 1), group=pipeline.group)
        return weight


def pad_rows(batch: Batch, rows: int, *, like: Batch) -> Batch:
    """The batch with rows from the head of `like` added, of which nothing is learnt, until it has `rows`."""
    lacking = rows - len(batch.ids_BT)
    if lacking <= 0:
        return batch
    filler = like.rows(slice(0, 1))
    filler = dataclasses.replace(filler, targets_BT=torch.full_like(filler.targets_BT, IGNORED))
    return join([batch, *[filler] * lacking])


def join(batches: list[Batch]) -> Batch:
    """Batches of rows of one length, one after another."""
    names = [field.name for field in dataclasses.fields(Batch)]
    columns: dict[str, list[Any]] = {name: [getattr(batch, name) for batch in batches] for name in names}
    joined: dict[str, Any] = {
        name: None if values[0] is None else torch.cat(values) for name, values in columns.items()
    }
    return Batch(**joined)


def equal_micro_batches(world: World, batch: Batch, rows: int) -> list[Batch]:
    """A process's micro batches, as many as every other process has: rows that nothing is learnt from fill up."""
    count = -(-world.largest_share(len(batch.ids_BT)) // rows)
    micros = micro_batches(world.share(batch), rows=rows)
    return micros + [pad_rows(batch.rows(slice(0, 0)), 1, like=batch)] * (count - len(micros))
