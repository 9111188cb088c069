"""float32 weights and moments of megatron.core's distributed optimizer, whole for each weight of this process.

Every copy of the model keeps a stretch of each flattened weight; what is saved is put together again, so that a state
does not depend on their number.
"""

from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist
from megatron.core import parallel_state
from torch import Tensor

MOMENTS = ("exp_avg", "exp_avg_sq")


class MainWeights:
    """The main weights behind a `ChainedOptimizer`. All copies of the model call its methods alike."""

    def __init__(self, optimizer: Any) -> None:
        self.parts = [part for part in optimizer.chained_optimizers if not part.is_stub_optimizer]

    def find(self, weight: Tensor) -> tuple[Any, Tensor, slice] | None:
        """The inner optimizer, this process's stretch of a weight and where it lies; None where others have all."""
        for part in self.parts:
            if weight in part.model_param_gbuf_map:
                buffer, dtype, bucket = part.model_param_gbuf_map[weight]
                place = part.gbuf_ranges[buffer][dtype][bucket]["param_map"][weight]["param"]
                group, order = part.model_param_group_index_map[weight]
                main = part.optimizer.param_groups[group]["params"][order]
                return part.optimizer, main, slice(place.start, place.end)
        return None

    @torch.no_grad()
    def whole(self, weight: Tensor, key: str) -> Tensor:
        """A main weight (`key` is "param") or a moment of it, in float32 and in the shape of the weight."""
        flat = torch.zeros(weight.numel(), dtype=torch.float32, device=weight.device)
        found = self.find(weight)
        if found is not None:
            inner, main, place = found
            flat[place] = (main if key == "param" else inner.state[main][key]).detach().view(-1).float()
        dist.all_reduce(flat, group=copies_of(weight))
        return flat.view(weight.shape)

    @torch.no_grad()
    def put(self, weight: Tensor, values: Mapping[str, Tensor], *, step: int) -> None:
        """Set a weight, its main weight and, where `values` has them, its moments."""
        weight.copy_(values["param"])
        found = self.find(weight)
        if found is None:
            return
        inner, main, place = found
        main.copy_(values["param"].reshape(-1)[place].view(main.shape))
        state = inner.state[main]
        for key in MOMENTS:
            if key in values:
                state[key] = values[key].reshape(-1)[place].view(main.shape).to(main.device, torch.float32).clone()
        if len(values) > 1 and isinstance(inner, torch.optim.AdamW):
            state["step"] = torch.tensor(float(step))

    def set_step(self, step: int) -> None:
        """Set the step that Transformer Engine's Adam counts for whole groups."""
        for part in self.parts:
            if not isinstance(part.optimizer, torch.optim.AdamW):
                for group in part.optimizer.param_groups:
                    group["step"] = step


def copies_of(weight: Tensor) -> dist.ProcessGroup:
    """The processes that share out the main weight of a weight."""
    group: dist.ProcessGroup
    if getattr(weight, "allreduce", True):
        group = parallel_state.get_data_parallel_group(with_context_parallel=True)
    else:
        group = parallel_state.get_expert_data_parallel_group()
    return group


class ReadyOptimizer:
    """megatron.core's optimizer as the training loop uses one: `clip` makes gradients ready, `step` applies them."""

    def __init__(self, inner: Any, *, weight_decay: float) -> None:
        self.inner, self.steps = inner, 0
        self.state: dict[Tensor, dict[str, Any]] = {}  # the loop looks for moments here; `MainWeights` has them
        for group in inner.param_groups:
            group["weight_decay"] = weight_decay * group["wd_mult"]

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups whose learning rate the loop sets."""
        groups: list[dict[str, Any]] = self.inner.param_groups
        return groups

    def step(self) -> None:
        """Apply the gradients and send the new weights to all copies."""
        self.inner.step_with_ready_grads()
        self.steps += 1
