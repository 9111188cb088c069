"""The decoder: embedding, layers, final norm. Parameter names are those of a Hugging Face Llama folder.

B batch, T position, S key position, E hidden width, V vocabulary, R turned features, P positions.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..config import ModelConfig, RopeConfig
from ..foundation.errors import InputError
from .attention import LayerCache
from .heads import capped
from .initial import draw_weight
from .layer import Layer
from .masks import block_causal, causal_window, latest
from .norm import make_norm
from .rope import Rotation, rotation_table

__all__ = ["Decoder", "Layer", "Trunk", "block_causal"]


class Trunk(nn.Module):
    """Everything but the output head; the name prefix ``model.`` of a Hugging Face folder."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.embed_positions = nn.Embedding(config.max_positions, config.hidden_size) if config.rope is None else None
        self.layers = nn.ModuleList(Layer(config, index) for index in range(config.num_layers))
        self.norm = make_norm(config, config.hidden_size)


class Decoder(nn.Module):
    """A causal language model. `model(ids)` gives hidden states, `model.logits(hidden)` scores over the vocabulary."""

    cos_PD: Tensor
    sin_PD: Tensor

    def __init__(self, config: ModelConfig, *, seed: int | None = None) -> None:
        super().__init__()
        self.config = config
        self.model = Trunk(config)
        self.lm_head = None if config.tied_embeddings else nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        ropes = {"": config.rope, "local_": config.local_rope}
        self.ropes = {name: rope for name, rope in ropes.items() if rope is not None}
        self.make_tables()
        self.layer_ropes = [rope_name(config, layer) for layer in range(config.num_layers)]
        if seed is not None:
            self.initialize(seed)

    def make_tables(self) -> None:
        """Compute cosines and sines of all positions on torch's default device, on the CPU where it has no numbers."""
        device = torch.get_default_device()
        with torch.device("cpu" if device.type == "meta" else device):
            for name, rope in self.ropes.items():
                self.add_rotations(rope, name)

    def add_rotations(self, rope: RopeConfig, name: str) -> None:
        """Tables as buffers `{name}cos_PD` and `{name}sin_PD`, and longrope's second pair `{name}long_...`."""
        for variant in ("", "long_") if rope.kind == "longrope" else ("",):
            cos_PR, sin_PR = rotation_table(
                rope, self.config.rotary_dim, self.config.max_positions, long=variant == "long_"
            )
            self.register_buffer(f"{name}{variant}cos_PD", cos_PR, persistent=False)
            self.register_buffer(f"{name}{variant}sin_PD", sin_PR, persistent=False)

    @property
    def head_weight(self) -> Tensor:
        """Output embedding, [V, E]; the input embedding where they are tied."""
        weight: Tensor = self.model.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        return weight

    @torch.no_grad()
    def initialize(self, seed: int) -> None:
        """Draw every weight, in order."""
        draw = torch.Generator().manual_seed(seed)
        for name, weight in self.named_parameters():
            draw_weight(name, weight, self.config, draw)

    def forward(
        self,
        ids_BT: Tensor,
        positions_BT: Tensor | None = None,
        segments_BT: Tensor | None = None,
        cache: Sequence[LayerCache] | None = None,
        allowed: Tensor | None = None,
        planned_length: int | None = None,
    ) -> Tensor:
        """Hidden states after the final norm, [B, T, E].

        `positions_BT` defaults to 0..T-1. Tokens of different `segments_BT` do not see each other (packed documents).
        `allowed` (bool [B|1, 1, T, S], true where a query may look) replaces the causal mask; a cache needs it.
        `planned_length` is how long the sequence will get; longrope turns by other angles beyond `original_positions`,
        and what a cache holds has to agree with what follows. Default: as long as it is now.
        Raises InputError where a sequence is longer than the model's positions.
        """
        if positions_BT is None and ids_BT.shape[1] > self.config.max_positions:
            raise InputError(
                f"{ids_BT.shape[1]} tokens, but the model has {self.config.max_positions} positions; shorten it"
            )
        if segments_BT is not None:
            allowed = block_causal(segments_BT)
        x_BTE = self.embed(ids_BT, positions_BT)
        rotations = self.rotations(ids_BT.shape[1], positions_BT, planned_length, x_BTE.dtype)
        masks = self.masks(ids_BT, allowed)
        for index, layer in enumerate(self.model.layers):
            x_BTE = layer(
                x_BTE,
                rotations.get(self.layer_ropes[index]),
                masks[self.config.layer_window(index)],
                cache[index] if cache is not None else None,
            )
        normed_BTE: Tensor = self.model.norm(x_BTE)
        return normed_BTE

    def embed(self, ids_BT: Tensor, positions_BT: Tensor | None = None) -> Tensor:
        """Embedded tokens, scaled and with learned positions where the model has them, [B, T, E]."""
        x_BTE: Tensor = self.model.embed_tokens(ids_BT)
        if self.config.embedding_scale is not None:
            x_BTE = x_BTE * torch.tensor(self.config.embedding_scale, dtype=x_BTE.dtype, device=x_BTE.device)
        if self.model.embed_positions is not None:
            if positions_BT is None:
                positions_BT = torch.arange(ids_BT.shape[1], device=ids_BT.device)
            x_BTE = x_BTE + self.model.embed_positions(positions_BT)
        return x_BTE

    def rotations(
        self, length: int, positions_BT: Tensor | None, planned_length: int | None, dtype: torch.dtype
    ) -> dict[str, Rotation]:
        """Cosines and sines of the places of this call, by the name of each way of turning; none: learned positions."""
        places = slice(length) if positions_BT is None else positions_BT
        found: dict[str, Rotation] = {}
        for name, rope in self.ropes.items():
            variant = ""
            if rope.kind == "longrope":
                reach = planned_length or (length if positions_BT is None else int(positions_BT.max()) + 1)
                variant = "long_" if reach > rope.original_positions else ""
            cos, sin = (getattr(self, f"{name}{variant}{part}_PD")[places].to(dtype) for part in ("cos", "sin"))
            found[name] = cos, sin
        return found

    def masks(self, ids_BT: Tensor, allowed: Tensor | None) -> dict[int | None, Tensor | None]:
        """The mask for each window that layers have (None: no window); a mask of None is plain causal attention."""
        window, length = self.config.window, ids_BT.shape[1]
        masks: dict[int | None, Tensor | None] = {None: allowed}
        if window is not None and allowed is not None:
            masks[window] = latest(allowed, window)
        elif window is not None:
            masks[window] = causal_window(length, window, ids_BT.device) if length > window else None
        return masks

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores over the vocabulary, [..., V]."""
        return capped(hidden @ self.head_weight.T, self.config.logit_softcap)


def rope_name(config: ModelConfig, layer: int) -> str:
    """Which of a decoder's ways of turning a layer takes; "none" is none of them."""
    rope = config.layer_rope(layer)
    return "none" if rope is None else "local_" if rope is config.local_rope else ""
