"""Runs a decoder over the tokens of one step: all of them together, attention per row.

N tokens of the step, E hidden width, V vocabulary.
"""

from typing import cast

import torch
from torch import Tensor, nn

from ..foundation.errors import InputError
from ..model.decoder import Decoder, Layer
from ..model.heads import capped
from ..model.rope import Rotation
from ..model.skeleton import LeaveUndrawn
from . import kernels
from .adapters import AdapterWeights, InputScale, LayerWeights, LowRankWeights, OutputScale, widths_of
from .batch import Batch
from .kv_cache import KVCache
from .layers import LayerStep, Tokens, inference_layer
from .norm import inference_norm
from .plan import Plans
from .projection import (
    Change,
    Deltas,
    Gain,
    LowRank,
    Projection,
    Quantization,
    Rescaled,
    Routing,
    effective,
)
from .turn import Turn


class Runner:
    """The weights of `model` as they are now, adapters merged; take a new one after training."""

    def __init__(self, model: Decoder, *, quantize: Quantization = "none") -> None:
        self.model, self.config = model, model.config
        self.routing, self.quantize = Routing(), quantize
        self.projections: dict[str, Projection] = {}
        self.layers = [
            inference_layer(cast(Layer, layer), self.config, f"model.layers.{index}", self._projection)
            for index, layer in enumerate(model.model.layers)
        ]
        self.windows = [self.config.layer_window(index) for index in range(self.config.num_layers)]
        self.norm = inference_norm(model.model.norm)
        with LeaveUndrawn():
            head = nn.Linear(1, 1, bias=False)
        head.weight = nn.Parameter(model.head_weight.detach(), requires_grad=False)
        self.head = Projection({"lm_head": head}, quantize=quantize)
        rope = self.config.rope
        self.plans = Plans(windows=list(dict.fromkeys(self.windows)), most_positions=self.config.max_positions)
        self.long_from = rope.original_positions if rope is not None and rope.kind == "longrope" else None

    def _projection(self, layers: dict[str, nn.Module]) -> Projection:
        projection = Projection(layers, routing=self.routing, quantize=self.quantize)
        self.projections |= dict.fromkeys(projection.names, projection)
        return projection

    @property
    def dtype(self) -> torch.dtype:
        """Of hidden states, keys and values."""
        return self.model.model.embed_tokens.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.model.embed_tokens.weight.device

    def deltas(self, name: str, adapter: AdapterWeights) -> Deltas:
        """An adapter laid out for the kernels. Raises InputError for a layer that it cannot be added to."""
        known = {
            layer: (projection.in_width, width)
            for projection in self.projections.values()
            for layer, width in zip(projection.names, projection.widths)
            if ".experts." not in layer  # an expert sees some of the tokens only
        }
        for layer, weights in adapter.items():
            if layer not in known:
                raise InputError(f"adapter {name!r} changes {layer}, which requests of one batch cannot choose")
            wanted, given = known[layer], widths_of(weights)
            if any(mine not in (None, theirs) for mine, theirs in zip(given, wanted)):
                raise InputError(f"adapter {name!r}: {layer} is {given[0]} to {given[1]} wide; this model: {wanted}")
        return {layer: self.change(layer, weights) for layer, weights in adapter.items()}

    def change(self, layer: str, weights: LayerWeights) -> Change:
        """What an adapter does to a layer, laid out for the kernels; DoRA's gains are those of the weights now."""
        placed = [tensor.to(self.device, self.dtype) for tensor in weights]
        if isinstance(weights, OutputScale):
            return Gain(placed[0])
        if isinstance(weights, InputScale):
            return Rescaled(placed[0])
        low_rank = LowRank.of(*placed[:2])
        if isinstance(weights, LowRankWeights):
            return low_rank
        down_RI, up_OR, magnitude_O = placed
        weight_OI, bias_O = effective(self.model.get_submodule(layer))
        return Gain(magnitude_O / (weight_OI + up_OR @ down_RI).norm(dim=1), bias_O, low_rank)

    def hidden(self, batch: Batch, cache: KVCache | None) -> Tensor:
        """Hidden states after the final norm, [N, E]; stores the tokens' keys and values."""
        if kernels.take(self.model.model.embed_tokens.weight):
            kernels.set_threads(torch.get_num_threads())
        positions_1N = batch.positions_N[None]
        x_NE = self.model.embed(batch.ids_N[None], positions_1N)[0]
        rotations = self.rotations(batch, positions_1N, x_NE.dtype)
        turns = {name: Turn.of(rotation) for name, rotation in rotations.items()}
        if not self.routing.groups and cache is not None and self.plans.take(x_NE, batch, cache):
            done_NE = self.plans.compute(
                x_NE,
                batch,
                turns,
                cache=cache,
                work=lambda at: self._through(at.x_NE, at.step(batch), cache, rotations),
            )
            if done_NE is not None:
                return done_NE
        return self._through(x_NE, Tokens(batch, turns), cache, rotations)

    def _through(self, x_NE: Tensor, tokens: Tokens, cache: KVCache | None, rotations: dict[str, Rotation]) -> Tensor:
        """Hidden states of a step's tokens after all layers and the final norm."""
        for index, layer in enumerate(self.layers):
            rope = self.model.layer_ropes[index]
            blocks = cache.layers[index] if cache is not None else None
            step = LayerStep(tokens.batch, blocks, self.windows[index], tokens.turns.get(rope), tokens.views)
            x_NE = layer(x_NE, rotations.get(rope), None, step)
        normed_NE: Tensor = self.norm(x_NE)
        return normed_NE

    def rotations(self, batch: Batch, positions_1N: Tensor, dtype: torch.dtype) -> dict[str, Rotation]:
        """How each token is turned; longrope turns those of long rows by other angles."""
        short = self.model.rotations(0, positions_1N, 1, dtype)
        if batch.is_long_N is None:
            return short
        long = self.model.rotations(0, positions_1N, self.config.max_positions, dtype)
        is_long_1N1 = batch.is_long_N[None, :, None]
        return {
            name: (torch.where(is_long_1N1, long[name][0], cos), torch.where(is_long_1N1, long[name][1], sin))
            for name, (cos, sin) in short.items()
        }

    def logits(self, hidden_NE: Tensor) -> Tensor:
        """Scores over the vocabulary in fp32, [N, V]."""
        return capped(self.head(hidden_NE).float(), self.config.logit_softcap)
