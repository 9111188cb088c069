"""A layer of experts that tensor-parallel ranks share out on a CPU.

megatron.core gathers their tokens on a GPU, and trains them only beside sequence parallelism. Here every rank has all
tokens, computes its part of every expert, and the parts are summed.
"""

from typing import Any

from megatron.core.tensor_parallel import reduce_from_tensor_model_parallel_region
from megatron.core.transformer.moe.moe_layer import MoELayer
from torch import Tensor

from .collectives import for_own_part


class CpuMoELayer(MoELayer):  # type: ignore[misc]
    """megatron.core's layer of experts, its tokens where they are."""

    parts: Any = None

    def __init__(self, config: Any, **rest: Any) -> None:
        super().__init__(config, self.parts, **rest)

    def dispatch(self, hidden_states: Tensor, probs: Tensor) -> tuple[Tensor, Tensor]:
        """All tokens and weights; their gradients are those of all ranks."""
        return for_own_part(hidden_states), for_own_part(probs)

    def combine(self, output: Tensor) -> Tensor:
        """The sum of what the ranks have of every token."""
        combined: Tensor = reduce_from_tensor_model_parallel_region(output.contiguous())
        return combined

    def forward(
        self, hidden_states: Tensor, intermediate_tensors: None = None, padding_mask: None = None
    ) -> tuple[Tensor, None]:
        """[T,B,E] -> [T,B,E], and no bias."""
        shared = self.shared_experts_compute(hidden_states)
        probs, routing_map = self.route(hidden_states)
        tokens, probs = self.preprocess(hidden_states, probs, routing_map)
        output, _ = self.routed_experts_compute(*self.dispatch(tokens, probs))
        return self.postprocess(self.combine(output), shared), None


def cpu_moe_layer(parts: Any) -> type[CpuMoELayer]:
    """The layer made of these submodules: megatron.core warns of a specification of a class that it does not know."""
    return type("CpuMoELayer", (CpuMoELayer,), {"parts": parts})
