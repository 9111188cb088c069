"""A model's layers made ready for inference: the model's own wiring, with faster projections and attention over blocks.

N tokens of a step, E hidden width, H query heads, K key/value heads, G = H/K, D head width, V value width, S positions.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from ..config import ModelConfig
from ..model.attention import Attention, Mixer
from ..model.latent import LatentAttention
from ..model.layer import Layer
from ..model.mlp import ACTIVATIONS, GatedMLP, PlainMLP
from ..model.rope import Rotation
from ..peft.places import AdaptedBlock, AdaptedLinear
from . import kernels
from .batch import Batch, Prompt
from .kv_cache import LayerBlocks
from .norm import inference_norm
from .paged import Seen, attend_blocks, of_row
from .projection import Projection
from .turn import Turn

KINDS = {ACTIVATIONS[name]: kind for name, kind in kernels.GATES.items()}
Kind = TypeVar("Kind", bound=nn.Module)
MakeProjection = Callable[[dict[str, nn.Module]], Projection]


@dataclass(frozen=True)
class Tokens:
    """The tokens of a step with their turns, and what decoding rows see, by window, as far as it is known."""

    batch: Batch
    turns: Mapping[str, Turn]
    views: dict[int | None, Seen] = field(default_factory=dict)


@dataclass
class LayerStep:
    """What attention of one layer needs to know of a step: the tokens, the layer's blocks, its window and turns.

    Without blocks (scoring) each prompt is computed whole.
    """

    batch: Batch
    cache: LayerBlocks | None
    window: int | None
    turn: Turn | None
    views: dict[int | None, Seen] = field(default_factory=dict)

    def seen(self) -> Seen:
        """Which positions the decoding rows see, the same for all layers of a kind."""
        if self.window not in self.views:
            assert self.batch.decoding is not None
            compiled = self.cache is not None and kernels.take(self.cache.k_KSD)
            self.views[self.window] = self.batch.decoding.seen(self.window, compiled=compiled)
        return self.views[self.window]


class PagedAttention(nn.Module):
    """Attention whose keys and values go to blocks. [N, E] -> [N, E]."""

    def __init__(self, attention: Mixer, config: ModelConfig, prefix: str, make: MakeProjection) -> None:
        super().__init__()
        self.mixer = attention
        self.num_heads, self.num_kv_heads, self.head_dim = config.num_heads, config.num_kv_heads, config.head_dim
        self.scale, self.softcap = config.attention_scale, config.attention_softcap
        if isinstance(attention, Attention):
            names = ("q_proj", "k_proj", "v_proj")
            self.mixer = with_norms(attention)
            self.qkv = make({f"{prefix}.{name}": attention.get_submodule(name) for name in names})
        else:
            self.mixer = converted(attention, prefix, make)
        self.out = make({f"{prefix}.o_proj": attention.get_submodule("o_proj")})

    def forward(self, x_NE: Tensor, rotation: Rotation | None, allowed: None, cache: LayerStep) -> Tensor:
        """Store keys and values of the step's tokens; attend each over its own row."""
        if isinstance(self.mixer, Attention):
            q_NHD, k_NKD, v_NKV = self.project(self.mixer, x_NE, cache.turn)
        else:
            assert isinstance(self.mixer, LatentAttention) and rotation is not None
            heads_1HND = self.mixer.queries(x_NE[None], rotation), *self.mixer.keys_and_values(x_NE[None], rotation)
            q_NHD, k_NKD, v_NKV = (part_1HND[0].transpose(0, 1) for part_1HND in heads_1HND)
        mixed_NE: Tensor = self.out(self.attend(q_NHD, k_NKD, v_NKV, cache))
        return mixed_NE

    def project(self, attention: Attention, x_NE: Tensor, turn: Turn | None) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values by head, normalised and turned as the model does, [N, heads, D] each."""
        qkv = self.qkv(x_NE)
        heads, kv_heads = self.num_heads, self.num_kv_heads
        if attention.q_norm is None:
            qkv_NHD = qkv.view(len(x_NE), -1, self.head_dim)
            if turn is not None:
                turn.apply_(qkv_NHD.narrow(1, 0, heads + kv_heads))
            q_NHD, k_NKD, v_NKD = qkv_NHD.split_with_sizes((heads, kv_heads, kv_heads), 1)
            return q_NHD, k_NKD, v_NKD
        q, k, v = qkv[None].split_with_sizes(self.qkv.widths, -1)
        q_NHD = attention.split_heads(q, attention.q_norm)[0].transpose(0, 1)
        k_NKD = attention.split_heads(k, attention.k_norm)[0].transpose(0, 1)
        if turn is not None:
            turn.apply_(q_NHD)
            turn.apply_(k_NKD)
        return q_NHD, k_NKD, attention.split_heads(v)[0].transpose(0, 1)

    def attend(self, q_NHD: Tensor, k_NKD: Tensor, v_NKV: Tensor, step: LayerStep) -> Tensor:
        """Mixed values of every token, [N, H*V]; stores its keys and values first."""
        batch = step.batch
        if step.cache is not None:
            step.cache.store(batch.slot_N, k_NKD, v_NKV)
        parts = []
        if batch.decoding is not None:
            parts.append(self.attend_decoding(q_NHD, step))
        for prompt in batch.prompts:
            k_KSD, v_KSV = self.seen(prompt, k_NKD, v_NKV, step)
            q_HTD = q_NHD[prompt.tokens].transpose(0, 1)
            parts.append(self.attend_prompt(q_HTD, k_KSD, v_KSV, prompt, step.window))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def attend_decoding(self, q_NHD: Tensor, step: LayerStep) -> Tensor:
        """One query for each of the first rows over its blocks. [B, H*V]."""
        assert step.cache is not None and step.batch.decoding is not None
        q_BHD = q_NHD[: step.batch.decoding.count]
        return attend_blocks(q_BHD, step.cache, step.seen(), scale=self.scale, softcap=self.softcap)

    def seen(self, prompt: Prompt, k_NKD: Tensor, v_NKV: Tensor, step: LayerStep) -> tuple[Tensor, Tensor]:
        """Keys and values of all positions of a prompt so far: those of this step, or its blocks put together."""
        if prompt.start == 0 or step.cache is None:
            return k_NKD[prompt.tokens].transpose(0, 1), v_NKV[prompt.tokens].transpose(0, 1)
        k_KDS, v_KSV = of_row(step.cache, prompt.slots)
        return k_KDS.mT, v_KSV

    def attend_prompt(self, q_HTD: Tensor, k_KSD: Tensor, v_KSV: Tensor, prompt: Prompt, window: int | None) -> Tensor:
        """Causal attention of one chunk, as the model mixes. [T, H*V]."""
        allowed_TS = None
        if prompt.start or (window is not None and prompt.stop > window):
            query_T1 = torch.arange(prompt.start, prompt.stop, device=q_HTD.device)[:, None]
            key_S = torch.arange(prompt.stop, device=q_HTD.device)
            allowed_TS = key_S <= query_T1
            if window is not None:
                allowed_TS &= key_S > query_T1 - window
        return self.mixer.mix(q_HTD[None], k_KSD[None], v_KSV[None], allowed_TS)[0]


class FusedMLP(nn.Module):
    """A gated feed-forward whose two wide projections are one. [..., E] -> [..., E]."""

    def __init__(self, mlp: GatedMLP, prefix: str, make: MakeProjection) -> None:
        super().__init__()
        self.activation, self.kind = mlp.activation, KINDS.get(mlp.activation)
        self.gate_up = make({f"{prefix}.gate_proj": mlp.gate_proj, f"{prefix}.up_proj": mlp.up_proj})
        self.down_proj = make({f"{prefix}.down_proj": mlp.down_proj})

    def forward(self, x: Tensor) -> Tensor:
        """Widen twice, gate, narrow."""
        both = self.gate_up(x)
        if self.kind is not None and kernels.take(both):
            inner = kernels.gate(both, self.kind)
        else:
            gate, up = both.chunk(2, -1)
            inner = self.activation(gate).mul_(up)
        narrowed: Tensor = self.down_proj(inner)
        return narrowed


def inference_layer(layer: Layer, config: ModelConfig, prefix: str, make: MakeProjection) -> Layer:
    """A copy of `layer` that computes the same from blocks."""
    faster = with_norms(layer)
    faster.self_attn = inside(  # type: ignore[assignment]
        layer.self_attn, lambda block: PagedAttention(cast(Mixer, block), config, f"{prefix}.self_attn", make)
    )
    faster.mlp = inside(layer.mlp, lambda block: inference_mlp(block, f"{prefix}.mlp", make))
    return faster


def with_norms(module: Kind) -> Kind:
    """A copy of `module` whose norms are those of inference."""
    faster = shallow_copy(module)
    for name, child in module.named_children():
        setattr(faster, name, inference_norm(child))
    return faster


def inside(block: nn.Module, make: Callable[[nn.Module], nn.Module]) -> nn.Module:
    """`make(block)`; where an adapter sits around the block, it sits around what is made."""
    if not isinstance(block, AdaptedBlock):
        return make(block)
    place = shallow_copy(block)
    place.base = make(block.base)
    return place


def inference_mlp(mlp: nn.Module, prefix: str, make: MakeProjection) -> nn.Module:
    """A feed-forward of any kind, or a part of one."""
    if isinstance(mlp, GatedMLP):
        return FusedMLP(mlp, prefix, make)
    faster = converted(mlp, prefix, make)
    if isinstance(faster, PlainMLP):
        faster.activation = in_one_call(faster.activation)
    return faster


def in_one_call(activation: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """The same activation, in C where the kernels take its input."""
    kind = KINDS.get(activation)
    if kind is None:
        return activation
    return lambda x: kernels.activate(x, kind) if kernels.take(x) and x.is_contiguous() else activation(x)


def converted(module: Kind, prefix: str, make: MakeProjection) -> Kind:
    """A copy of a module tree whose linear layers are projections; everything else is shared."""
    faster = shallow_copy(module)
    for name, child in module.named_children():
        place = f"{prefix}.{name}"
        if isinstance(child, nn.Linear | AdaptedLinear):
            setattr(faster, name, make({place: child}))
        else:
            setattr(faster, name, inference_mlp(inference_norm(child), place, make))
    return faster


def shallow_copy(module: Kind) -> Kind:
    """A module of its own with the same parameters and children."""
    made = copy.copy(module)
    made._parameters, made._buffers = dict(module._parameters), dict(module._buffers)
    made._modules = dict(module._modules)
    return made
