"""A megatron model in the training loop, in the place of a native model laid out by `parallel`.

On a CPU: tensor parallel by megatron.core, copies or shares of the weights by torch. States are saved under canonical
names as what a rank holds of each canonical tensor, so any implementation and any degrees continue them.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor
from torch.optim import Optimizer

from ..checkpoint.folder import save_model
from ..checkpoint.state_piece import Piece, pieces_to_write
from ..checkpoint.state_step import SavedState
from ..data.batch import Batch
from ..model.decoder import Decoder
from ..parallel.buckets import Buckets, local
from ..parallel.fsdp import drop_gathered, send_gradients
from ..parallel.model import equal_micro_batches
from ..parallel.plan import ParallelPlan
from ..shapes import tensor_specs
from ..train.device import Compute
from ..train.objective import Objective
from ..train.world import World
from .average import MegatronEma
from .collectives import sum_shared_weights
from .loss import objective_for
from .mapping import Entry
from .matrices import LIKE_WEIGHT, ByCanonicalMatrix, saved_parts
from .model import MegatronDecoder
from .pieces import piece_of_rank, weight_of, whole_model
from .weights import gathered, held, put

Moments = Mapping[str, Any]


@dataclasses.dataclass
class MegatronLaidOut:
    """What the loop needs to know of a megatron model. Made by `megatron.train.lay_out`."""

    model: MegatronDecoder
    world: World
    plan: ParallelPlan
    buckets: Buckets | None = None
    is_complete: bool = True
    own_optimizer: Optimizer | None = None  # where it looks at single matrices
    shares_optimizer = False

    def __post_init__(self) -> None:
        self.held = held(self.model)
        self.trained = [(entry, weight) for entry, weight in self.held if isinstance(weight, torch.nn.Parameter)]
        self.shapes = {name: spec.shape for name, spec in tensor_specs(self.model.config).items()}
        self.rank = parallel_state.get_tensor_model_parallel_rank()
        self.size = self.plan.tensor

    def accumulate(
        self, objective: Objective, batch: Batch, *, micro_rows: int, num_targets: int, compute: Compute
    ) -> float:
        """Leave the gradient of the summed loss over `num_targets` in the weights, over all processes; the loss."""
        rows = micro_rows or max(1, self.world.largest_share(len(batch.ids_BT)))
        micros = equal_micro_batches(self.world, batch, rows)
        chosen = objective_for(objective)
        total = torch.zeros((), device=compute.device)
        for number, micro in enumerate(micros, 1):
            self.before_backward(is_last=number == len(micros))
            with compute.precision():
                loss = chosen(self.model, micro.to(compute.device)) / max(1, num_targets)  # type: ignore[arg-type]
            loss.backward()
            total += loss.detach()
        self.complete_gradients()
        total = total / self.size  # tensor-parallel processes all have the same loss
        self.world.sum_([total])
        return float(total)

    def before_backward(self, *, is_last: bool) -> None:
        """Send gradients in the backward pass that completes them, and only then."""
        if self.plan.fsdp > 1:
            send_gradients(self.model, is_last)
        if self.buckets is not None and is_last:
            self.buckets.expect()

    def complete_gradients(self) -> None:
        """Wait until every weight has the gradient of the whole batch."""
        for weight in self.model.parameters():
            if weight.grad is None:
                weight.grad = torch.zeros_like(weight)
        if self.buckets is not None:
            self.buckets.finish()
        sum_shared_weights(self.model, norms_by_head=self.model.config.qk_norm == "head")

    @torch.no_grad()
    def clip(self, max_norm: float) -> float:
        """Shorten the gradient to `max_norm` and return how long it was."""
        gradients = [(entry, local(weight.grad)) for entry, weight in self.held if weight.grad is not None]
        own = [gradient for entry, gradient in gradients if entry.join.axis is not None or self.rank == 0]
        squared = torch.stack([gradient.float().square().sum() for gradient in own]).sum()
        self.world.sum_([squared])
        copies = self.plan.data  # which all have the same gradients
        norm = float((squared / copies).sqrt())
        scale = min(1.0, max_norm / (norm + 1e-6))
        if scale < 1.0:
            for _, gradient in gradients:
                gradient.mul_(scale)
        return norm

    def average(self, decay: float) -> MegatronEma:
        """A running average of the weights that begins now."""
        return MegatronEma(self.model, self.trained, self.shard_of, decay=decay)

    def router_biases(self) -> dict[str, Tensor]:
        """The biases that steer which experts are chosen, by canonical name."""
        return {entry.parts[0]: bias for entry, bias in self.held if not isinstance(bias, torch.nn.Parameter)}

    def trained_names(self) -> set[str]:
        """Canonical names of the weights."""
        return {part for entry, _ in self.trained for part in entry.parts}

    def state(self, optimizer: Optimizer) -> dict[str, Tensor]:
        """This rank's part of every canonical weight and of its moments."""
        tensors: dict[str, Tensor] = {}
        for entry, weight in self.trained:
            tensors |= dict(zip(entry.parts, entry.join.split(gathered(weight)), strict=True))
            for key, moment in moments_of(optimizer, weight).items():
                number, _, of_matrix = key.partition(".")
                if of_matrix:
                    tensors[f"optim.{entry.parts[int(number)]}.{of_matrix}"] = moment
                    continue
                whole = gathered(moment)
                parts = entry.join.split(whole) if whole.ndim else [whole] * len(entry.parts)
                tensors |= {f"optim.{name}.{key}": part for name, part in zip(entry.parts, parts, strict=True)}
        return tensors

    @torch.no_grad()
    def restore(self, saved: SavedState, optimizer: Optimizer) -> None:
        """Put a saved state into weights and optimizer, whoever saved it."""
        keys = sorted({name.rpartition(".")[2] for name in saved if name.startswith("optim.")})
        for entry, weight in self.trained:
            put(weight, self.shard_of(entry, saved.__getitem__))
            if self.looks_at_matrices(weight):
                optimizer.state[weight] = saved_parts(entry, saved, keys, rank=self.rank, size=self.size)
                continue
            moments = {key: self.saved_moment(saved, entry, key, like=weight) for key in keys}
            found = {key: moment for key, moment in moments.items() if moment is not None}
            if found:
                optimizer.state[weight] = found

    def looks_at_matrices(self, weight: Tensor) -> bool:
        """Whether the optimizer keeps something of each matrix in this weight."""
        parts = getattr(self.own_optimizer, "parts", (self.own_optimizer,))
        return any(isinstance(part, ByCanonicalMatrix) and weight in part.entries for part in parts)

    def saved_moment(self, saved: SavedState, entry: Entry, key: str, *, like: Tensor) -> Tensor | None:
        """This rank's part of a saved moment, or its number for the whole weight; None where there is none."""
        names = {part: f"optim.{part}.{key}" for part in entry.parts}
        if not all(name in saved for name in names.values()):
            return None
        first = entry.parts[0]
        if saved.describe(names[first]).shape != self.shapes[first]:
            return saved[names[first]].clone()
        moment = torch.zeros_like(like)
        put(moment, self.shard_of(entry, lambda part: saved[names[part]]))
        return moment

    def shard_of(self, entry: Entry, read: Callable[[str], Tensor]) -> Tensor:
        """This rank's part of the tensor that canonical ones make up."""
        return entry.join.shard(entry.join.join([read(part) for part in entry.parts]), rank=self.rank, size=self.size)

    def select(self, tensors: Mapping[str, Tensor], world: World) -> list[Piece]:
        """The blocks of a state that this process writes: the first copy of the model writes, each rank its part."""
        own = {name: tensor for name, tensor in tensors.items() if name.startswith(f"rng.{world.rank}.")}
        rng = pieces_to_write(own, rank=0, size=1)
        if parallel_state.get_data_parallel_rank() != 0:
            return rng
        axes = {part: entry.join.axis for entry, _ in self.held for part in entry.parts}
        rest = {name: tensor for name, tensor in tensors.items() if name not in own}
        pieces = [self.piece(name, tensor, axes) for name, tensor in rest.items()]
        return [*[piece for piece in pieces if piece is not None and piece.data.numel()], *rng]

    def piece(self, name: str, tensor: Tensor, axes: Mapping[str, int | None]) -> Piece | None:
        """Where this rank's part lies in the canonical tensor; None where the first rank writes it for all."""
        weight, key = weight_of(name), name.rpartition(".")[2]
        is_like_weight = not name.startswith("optim.") or key in LIKE_WEIGHT
        axis = axes[weight] if is_like_weight else None
        return piece_of_rank(name, tensor, axis=axis, shape=self.shapes[weight], rank=self.rank, size=self.size)

    @contextlib.contextmanager
    def measuring(self) -> Iterator[MegatronDecoder]:
        """The model to look at without gradient, called by all processes alike."""
        try:
            yield self.model
        finally:
            drop_gathered(self.model)

    @torch.no_grad()
    def whole(self) -> Decoder | None:
        """The native model with the same weights, on the CPU of the first process; None in the others."""
        own = {part: entry for entry, _ in self.held for part in entry.parts}
        axes = {part: entry.join.axis for part, entry in own.items()}
        weights = dict(self.held)

        def pieces(entry: Entry) -> dict[str, Piece | None]:
            parts = zip(entry.parts, entry.join.split(gathered(weights[entry])), strict=True)
            return {name: self.piece(name, part, axes) for name, part in parts}

        return whole_model(self.model.config, pieces, own)

    def save(self, folder: Path) -> None:
        """Write the whole model into `folder`, by the first process. All processes call it."""
        model = self.whole()
        if model is not None:
            save_model(model, folder)


def moments_of(optimizer: Optimizer, weight: Tensor) -> Moments:
    """The optimizer's state of a weight."""
    found: Moments = optimizer.state.get(weight, {})
    return found


def data_group() -> dist.ProcessGroup:
    """The processes that hold the same tensors and learn from other rows."""
    group: dist.ProcessGroup = parallel_state.get_data_parallel_group()
    return group
