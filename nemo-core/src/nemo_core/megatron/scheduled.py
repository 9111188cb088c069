"""A megatron model in the training loop on GPUs: megatron.core's schedules, gradient buffers and optimizer.

States are saved under canonical names, as those of every other layout: the optimizer's shares of weights and moments
are put together one weight at a time.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from megatron.core import parallel_state
from megatron.core.optimizer.clip_grads import clip_grad_by_total_norm_fp32
from torch import Tensor

from ..checkpoint.folder import save_model
from ..checkpoint.state_piece import Piece, pieces_to_write
from ..checkpoint.state_step import SavedState
from ..data.batch import Batch
from ..model.decoder import Decoder
from ..parallel.plan import ParallelPlan
from ..shapes import tensor_specs
from ..train.device import Compute
from ..train.objective import Objective
from ..train.world import World
from .loss import objective_for
from .main_weights import MOMENTS, MainWeights, ReadyOptimizer
from .mapping import Entry
from .pieces import piece_of_rank, weight_of, whole_model
from .schedule import forward_and_backward, micro_batches
from .stages import Stages, WholeModel


@dataclasses.dataclass
class MegatronScheduled:
    """What the loop needs to know of a megatron model on GPUs. Made by `megatron.wrapped.schedule`."""

    model: Stages
    wrapped: list[Any]
    own_optimizer: ReadyOptimizer
    world: World
    plan: ParallelPlan
    compute: Compute
    shares_optimizer = True

    def __post_init__(self) -> None:
        self.held = [(entry, weight) for entry, weight in self.model.held if not entry.mirror]
        self.specs = tensor_specs(self.model.config)
        self.main = MainWeights(self.own_optimizer.inner)
        self.rank = parallel_state.get_tensor_model_parallel_rank()
        self.is_complete = self.plan.pipeline == 1 and parallel_state.get_expert_model_parallel_world_size() == 1

    def accumulate(
        self, objective: Objective, batch: Batch, *, micro_rows: int, num_targets: int, compute: Compute
    ) -> float:
        """Leave the gradient of the mean loss in the buffers; the loss, over all processes."""
        for one in self.wrapped:
            one.zero_grad_buffer()
        self.own_optimizer.inner.zero_grad()
        micros = micro_batches(
            batch.to(compute.device),
            self.world,
            self.plan,
            rows=micro_rows,
            stages=len(self.wrapped),
            context_rank=parallel_state.get_context_parallel_rank(),
        )
        total = forward_and_backward(self.wrapped, list(self.model), micros, objective_for(objective))
        total = total / self.plan.tensor  # tensor-parallel processes all have the same loss
        self.world.sum_([total])
        return float(total) / max(1, num_targets)

    @torch.no_grad()
    def clip(self, max_norm: float) -> float:
        """Make the gradients ready, shorten them to `max_norm` and return how long they were."""
        inner = self.own_optimizer.inner
        inner.prepare_grads()
        norm = float(inner.get_grad_norm())
        for part in self.main.parts:
            if part.get_parameters():
                clip_grad_by_total_norm_fp32(part.get_parameters(), max_norm=max_norm, total_norm=norm)
        return norm

    def trained_names(self) -> set[str]:
        """Canonical names of the weights of this process."""
        return {part for entry, weight in self.held if is_trained(weight) for part in entry.parts}

    @torch.no_grad()
    def state(self, optimizer: Any) -> dict[str, Tensor]:
        """This rank's part of every canonical weight and of its moments, on the CPU."""
        tensors: dict[str, Tensor] = {}
        for entry, weight in self.held:
            if not is_trained(weight):
                continue
            keys = ("param", *(MOMENTS if optimizer.steps else ()))
            for key, whole in ((key, self.main.whole(weight, key)) for key in keys):
                parts = zip(entry.parts, entry.join.split(whole), strict=True)
                tensors |= {name if key == "param" else f"optim.{name}.{key}": part.cpu() for name, part in parts}
            if optimizer.steps:
                tensors |= {f"optim.{name}.step": torch.tensor(float(optimizer.steps)) for name in entry.parts}
        return tensors

    @torch.no_grad()
    def restore(self, saved: SavedState, optimizer: Any) -> None:
        """Put a saved state into weights and optimizer, whoever saved it."""
        steps = [name for name in saved if name.startswith("optim.") and name.endswith(".step")]
        optimizer.steps = int(saved[steps[0]].flatten()[0]) if steps else 0
        for entry, weight in self.model.held:
            if is_trained(weight):
                keys = {"param": "{}", **({key: f"optim.{{}}.{key}" for key in MOMENTS} if steps else {})}
                values = {key: self.shard(entry, saved, form).to(weight.device) for key, form in keys.items()}
                self.main.put(weight, values, step=optimizer.steps)
        self.main.set_step(optimizer.steps)

    def shard(self, entry: Entry, saved: SavedState, form: str) -> Tensor:
        """This rank's part of the tensor that saved ones make up."""
        joined = entry.join.join([saved[form.format(part)] for part in entry.parts])
        return entry.join.shard(joined, rank=self.rank, size=self.plan.tensor)

    @torch.no_grad()
    def load_main(self, read: Callable[[str], Tensor]) -> None:
        """Set weights and, without rounding, the optimizer's float32 ones from canonical tensors."""
        for entry, weight in self.model.held:
            joined = entry.join.join([read(part) for part in entry.parts])
            whole = entry.join.shard(joined, rank=self.rank, size=self.plan.tensor).to(weight.device)
            if is_trained(weight):
                self.main.put(weight, {"param": whole}, step=0)
            else:
                weight.copy_(whole)

    def select(self, tensors: Mapping[str, Tensor], world: World) -> list[Piece]:
        """The blocks of a state that this process writes: the first copy of each weight writes it."""
        rng = {name: tensor for name, tensor in tensors.items() if name.startswith(f"rng.{world.rank}.")}
        pieces = [
            piece
            for entry, weight in self.held
            if is_first_copy(weight)
            for name, tensor in tensors.items()
            if name not in rng and weight_of(name) in entry.parts
            if (piece := self.piece(entry, name, tensor)) is not None and piece.data.numel()
        ]
        return [*pieces, *pieces_to_write(rng, rank=0, size=1)]

    def piece(self, entry: Entry, name: str, tensor: Tensor) -> Piece | None:
        """Where this rank's part of a tensor lies in the canonical one."""
        shape = self.specs[weight_of(name)].shape
        return piece_of_rank(name, tensor, axis=entry.join.axis, shape=shape, rank=self.rank, size=self.plan.tensor)

    @contextlib.contextmanager
    def measuring(self) -> Iterator[WholeModel]:
        """The model to look at without gradient, called by all processes alike."""
        for one in self.wrapped:
            if one.use_forward_hook:
                one.start_param_sync(force_sync=True)
        yield WholeModel(self.model, self.compute.dtype)

    @torch.no_grad()
    def whole(self) -> Decoder | None:
        """The native model with the float32 weights, on the CPU of the first process; None in the others."""
        own = {part: entry for entry, _ in self.held for part in entry.parts}
        weights = dict(self.held)

        def pieces(entry: Entry) -> dict[str, Piece | None]:
            weight = weights[entry]
            whole = self.main.whole(weight, "param") if is_trained(weight) else weight.detach().clone()
            split = zip(entry.parts, entry.join.split(whole), strict=True)
            return {name: self.piece(entry, name, part.cpu()) for name, part in split}

        return whole_model(self.model.config, pieces, own)

    def save(self, folder: Path) -> None:
        """Write the whole model into `folder`, by the first process. All processes call it."""
        model = self.whole()
        if model is not None:
            save_model(model, folder)


def is_trained(weight: Tensor) -> bool:
    """Whether steps change it; the bias of a router is kept as it is."""
    return isinstance(weight, torch.nn.Parameter)


def is_first_copy(weight: Tensor) -> bool:
    """Whether this process is the first of those that hold this part of a weight."""
    if getattr(weight, "allreduce", True):
        return int(parallel_state.get_data_parallel_rank(with_context_parallel=True)) == 0
    return int(parallel_state.get_expert_data_parallel_rank()) == 0
