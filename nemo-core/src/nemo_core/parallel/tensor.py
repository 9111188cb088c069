"""Tensor parallel (Shoeybi et al. 2019) through DTensor: attention by heads, feed-forward by width, vocabulary by rows.

Activations between blocks are whole in every process; norms between them, routers, and the small latent vectors of
latent attention are computed by all. Every expert is split by width. Where there are fewer key/value heads than
processes, all keep the whole projection and use the head that their queries look at.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module

from ..config import ModelConfig
from ..foundation.errors import ConfigError
from ..model.attention import Attention
from ..model.decoder import Decoder
from ..model.mlp import GatedMLP, PlainMLP
from ..model.moe import Router
from ..peft.ia3 import Ia3
from ..peft.places import AdaptedEmbedding, AdaptedLinear, Replaceable, canonical_name
from .expert import shared_out_mixtures
from .tensor_styles import (
    Alike,
    Beside,
    Entered,
    Made,
    PerHead,
    Placed,
    Replicated,
    Shared,
    WholeNorm,
    copied,
    shared_output,
)

COLUMNS = ("q_proj", "k_proj", "v_proj", "gate_proj", "up_proj", "q_b_proj", "kv_b_proj")
ROWS = ("o_proj", "down_proj")
LATENTS = ("q_a_proj", "kv_a_proj_with_mqa")


class ShardedHead(Decoder):
    """A decoder whose output head is split by vocabulary; what asks for the whole head gets it gathered."""

    @property
    def head_weight(self) -> Tensor:
        """Output embedding, [V, E], gathered; its gradient goes back to the shards."""
        weight = self.head_shard
        return weight.full_tensor() if isinstance(weight, DTensor) else weight

    @property
    def head_shard(self) -> Tensor:
        """This process's rows of the output embedding, as a DTensor."""
        weight: Tensor = self.model.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        return weight


class LocalRouter(Router):
    """A router that every process computes alike, on plain tensors: choosing has no DTensor operations."""

    def logits(self, x_NE: Tensor) -> Tensor:
        """Scores of all experts, [N, X]."""
        weight: Tensor = self.weight
        whole = weight.to_local() if isinstance(weight, DTensor) else weight
        return F.linear(x_NE.float(), whole.float())


class LocalRouting(ParallelStyle):
    """A router whose weight is a replicated DTensor, as those of all other modules are."""

    def _apply(self, module: nn.Module, device_mesh: DeviceMesh) -> nn.Module:
        copied(module, "weight", device_mesh, Replicate())
        module.__class__ = LocalRouter
        return module


@dataclass(frozen=True)
class Split:
    """Decides how the modules of a model are split over `size` processes."""

    config: ModelConfig
    size: int

    @property
    def shares_heads(self) -> bool:
        """Whether several processes use the same key/value head."""
        return self.config.mla is None and self.config.num_kv_heads < self.size

    def styles(self, name: str, module: nn.Module) -> Iterator[tuple[str, ParallelStyle]]:
        """How a module is split, and what an adapter put in its place has beside it; nothing where it has no weights.

        Raises ConfigError naming a module that cannot be split.
        """
        leaf = canonical_name(name).rpartition(".")[2]
        if isinstance(module, AdaptedLinear):
            yield from self.adapted(name, module)
        elif isinstance(module, AdaptedEmbedding):
            yield from prompted(name, module)
        elif isinstance(module, Replaceable):
            yield from self.replaced(name, module)
        else:
            style = self.style_of(leaf, module)
            if style is not None:
                yield name, style

    def style_of(self, leaf: str, module: nn.Module) -> ParallelStyle | None:
        """How a module without adapters is split."""
        if isinstance(module, (Attention, GatedMLP, PlainMLP)):
            return Entered()
        if isinstance(module, Router):
            return LocalRouting()
        if leaf in ("q_norm", "k_norm"):
            return PerHead() if self.config.qk_norm == "head" else WholeNorm()
        if self.is_shared(leaf):
            return Shared(shared_output(leaf, self.config))
        if leaf in ROWS:
            return RowwiseParallel()
        if leaf in COLUMNS or leaf == "lm_head":
            return ColwiseParallel()
        if isinstance(module, nn.Embedding) and leaf == "embed_tokens":
            return RowwiseParallel(input_layouts=Replicate())
        return None if next(module.parameters(recurse=False), None) is None else Replicated()

    def adapted(self, name: str, place: AdaptedLinear) -> Iterator[tuple[str, ParallelStyle]]:
        """The frozen matrix and what adapters have beside it. Raises ConfigError where it is no plain matrix."""
        leaf = name.rpartition(".")[2]
        if not isinstance(place.base, nn.Linear):
            raise ConfigError(
                f"parallel.tensor: {name} is kept in 4 bits, and is not split; use parallel.fsdp, or lora.quantize=none"
            )
        kind = self.kind_of(leaf)
        for adapter, part in place.adapters.items():
            yield f"{name}.adapters.{adapter}", Beside(cuts_of(part, kind))
        base = {
            "column": ColwiseParallel(use_local_output=False),
            "row": RowwiseParallel(use_local_output=False),
            "alike": Alike(),
        }
        yield f"{name}.base", base[kind]
        yield name, Placed(kind, shared_output(leaf, self.config) if self.is_shared(leaf) else None)

    def replaced(self, name: str, place: Replaceable) -> Iterator[tuple[str, ParallelStyle]]:
        """A module and the copies that adapters bring of it, all split alike."""
        leaf = name.rpartition(".")[2]
        for inside, module in (
            ("base", place.base),
            *((f"adapters.{one}", part) for one, part in place.adapters.items()),
        ):
            style = self.style_of(leaf, module)
            if style is not None:
                yield f"{name}.{inside}", style

    def kind_of(self, leaf: str) -> str:
        """Along which axis the matrix is cut."""
        if leaf in ROWS:
            return "row"
        return "alike" if leaf in LATENTS or self.is_shared(leaf) else "column"

    def is_shared(self, leaf: str) -> bool:
        """Whether all processes compute a matrix and each goes on with a part of the result."""
        return leaf == "kv_a_proj_with_mqa" or (leaf in ("k_proj", "v_proj") and self.shares_heads)


LOW_RANK: dict[str, dict[str, Placement]] = {
    "column": {"lora_A": Replicate(), "lora_B": Shard(0), "magnitude_O": Shard(0)},
    "row": {"lora_A": Shard(1), "lora_B": Replicate(), "magnitude_O": Replicate()},
    "alike": {"lora_A": Replicate(), "lora_B": Replicate(), "magnitude_O": Replicate()},
}
"""Cuts of what LoRA and DoRA add, by those of the matrix: B and lengths of rows as its rows, A as its columns."""


def cuts_of(part: nn.Module, kind: str) -> dict[str, Placement]:
    """How the weights of an adapter beside a matrix are cut. Scales of IA3 are a column, or (feed-forward) a row."""
    if isinstance(part, Ia3):
        is_cut = kind == ("row" if part.feedforward else "column")
        return {"ia3_l": Shard(1 if part.feedforward else 0) if is_cut else Replicate()}
    own = dict(part.named_parameters())
    return {name: placement for name, placement in LOW_RANK[kind].items() if name in own}


def prompted(name: str, place: AdaptedEmbedding) -> Iterator[tuple[str, ParallelStyle]]:
    """The embedding by rows of the vocabulary; prompts in every process. Raises ConfigError for an LSTM."""
    yield f"{name}.base", RowwiseParallel(input_layouts=Replicate())
    for adapter, part in place.adapters.items():
        if any(isinstance(module, nn.LSTM) for module in part.modules()):
            raise ConfigError(
                "parallel.tensor: ptuning.encoder=lstm has no form over several processes; use ptuning.encoder=mlp, or "
                "parallel.fsdp instead"
            )
        yield f"{name}.adapters.{adapter}", Made()


def split_tensors(model: Decoder, mesh: DeviceMesh, *, experts: DeviceMesh | None = None) -> None:
    """Split the weights of `model` in place over the processes of `mesh`.

    `experts` are the same processes as a part of the mesh over which experts are shared out: what FSDP2 cuts further
    has to be of one mesh.
    Raises ConfigError naming a layer that cannot be split: one kept in 4 bits, for example.
    """
    shared_out = tuple(f"{name}.experts." for name in shared_out_mixtures(model))
    for name, style in styles_of(model, mesh.size()):
        own = experts if experts is not None and name.startswith(shared_out) else mesh
        parallelize_module(model, own, {name: style})
    model.__class__ = ShardedHead


def styles_of(model: Decoder, size: int) -> list[tuple[str, ParallelStyle]]:
    """How each module of `model` is split over `size` processes. Raises ConfigError as `split_tensors` does."""
    split = Split(model.config, size)
    whole = (AdaptedLinear, AdaptedEmbedding, Replaceable)  # of which `Split` says also how what is inside is split
    places = [f"{name}." for name, module in model.named_modules() if isinstance(module, whole)]
    outside = [pair for pair in model.named_modules() if not any(pair[0].startswith(place) for place in places)]
    return [style for name, module in outside for style in split.styles(name, module)]
