"""Adapters of modules that a folder keeps as one: GPT-2's `c_attn` is our queries, keys and values.

Here each part has an adapter of its own. Side by side they are one adapter of the fused module, exactly: its A is the
parts' A one below the other, its B has each part's B in the rows of that part and the columns of its A, and zeros
elsewhere. The other way round every part takes the A and its own rows of B. What belongs to single outputs (lengths of
DoRA, scales of IA3) is cut and joined by rows.

R rank, I input width, O output width.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..checkpoint.mapping.transforms import Same
from ..foundation.errors import ArtifactError, ConfigError
from .lora import Lora
from .naming import Kept, block_names, kept_by_folder, module_of
from .places import frozen_modules
from .targets import by_pattern

DOWN, UP, LENGTH, SCALE = "lora_A.weight", "lora_B.weight", "lora_magnitude_vector", "ia3_l"
Tensors = dict[str, Tensor]


class Width(NamedTuple):
    """Rank and alpha of a low-rank adapter."""

    rank: int
    alpha: float

    def scale(self, *, stabilized: bool) -> float:
        """The factor of its update."""
        return self.alpha / (math.sqrt(self.rank) if stabilized else self.rank)


def width_of(values: Mapping[str, Any], owner: str) -> Width:
    """Rank and alpha that an adapter_config.json gives a module. Raises ArtifactError for one that is no number."""
    found = {}
    for key, pattern in (("r", "rank_pattern"), ("lora_alpha", "alpha_pattern")):
        value = by_pattern(values.get(pattern) or {}, owner, values[key])
        if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
            raise ArtifactError(f"{key} (or {pattern}) of {owner} must be a number above 0, it is {value!r}")
        found[key] = value
    return Width(int(found["r"]), found["lora_alpha"])


def check_ranks(values: Mapping[str, Any], saved: Mapping[str, Tensor]) -> None:
    """Raise ArtifactError where a folder's tensors have another rank than its adapter_config.json says."""
    for owner, tensors in by_owner(saved).items():
        if DOWN in tensors and (said := width_of(values, owner).rank) != len(tensors[DOWN]):
            raise ArtifactError(f"says rank {said} of {owner}, whose tensors have rank {len(tensors[DOWN])}")


def alpha_for(scale: float, rank: int, *, stabilized: bool) -> float:
    """The alpha that gives a rank this factor."""
    return scale * (math.sqrt(rank) if stabilized else rank)


@torch.no_grad()
def joined(model: nn.Module, kept: Kept, parts: Mapping[str, nn.Module]) -> Tensors:
    """The tensors of one adapter of a fused module that does what `parts`, adapters of some of its parts, do.

    Raises ConfigError where there is none: IA3 that scales inputs of its own for each part.
    """
    own: dict[str, Tensors] = {name: part.stored() for name, part in parts.items()}  # type: ignore[operator]
    modules = dict(frozen_modules(model))
    weights: dict[str, Tensor] = {name: modules[name].weight for name in kept.parts}  # type: ignore[misc]
    if any(SCALE in tensors for tensors in own.values()):
        return {SCALE: joined_scales(kept, own, weights)}
    lora: dict[str, Lora] = {name: part for name, part in parts.items() if isinstance(part, Lora)}
    found = joined_low_rank(kept, lora, weights)
    if any(LENGTH in tensors for tensors in own.values()):
        lengths = [own[n][LENGTH] if n in own else weights[n].norm(dim=1) for n in kept.parts]
        found[LENGTH] = in_folder(kept, lengths)
    return found


def in_folder(kept: Kept, rows: Sequence[Tensor]) -> Tensor:
    """Rows of the parts in the folder's order."""
    (tensor,) = kept.rows.inverse(rows)
    return tensor


def joined_scales(kept: Kept, own: Mapping[str, Tensors], weights: Mapping[str, Tensor]) -> Tensor:
    """IA3's scales of outputs, one where a part has no adapter."""
    inner = [name for name, tensors in own.items() if tensors[SCALE].shape[0] == 1]
    if inner and len(kept.parts) > 1:
        raise ConfigError(
            f"{inner[0]}: folders keep it in {kept.name} together with {', '.join(set(kept.parts) - set(inner[:1]))}, "
            "and IA3 cannot scale the inputs of each there; leave it out of ia3.feedforward, or take down_proj"
        )
    if inner:
        return own[inner[0]][SCALE]
    ones = {name: torch.ones(len(weight), 1, dtype=weight.dtype) for name, weight in weights.items()}
    return in_folder(kept, [own[name][SCALE] if name in own else ones[name] for name in kept.parts])


def joined_low_rank(kept: Kept, parts: Mapping[str, Lora], weights: Mapping[str, Tensor]) -> Tensors:
    """A and B of the fused module; parts with the same A share it."""
    downs, place = distinct_downs(list(parts.values()))
    columns = dict(zip(parts, place))
    sizes = [len(down) for down in downs]
    scale = next(iter(parts.values())).scale  # the fused update's; parts with another have the rest in their B
    ups = []
    for name in kept.parts:
        up_OR = downs[0].new_zeros(len(weights[name]), sum(sizes))
        if name in parts:
            up_OR.split(sizes, 1)[columns[name]].copy_(parts[name].lora_B * (parts[name].scale / scale))
        ups.append(up_OR)
    return {DOWN: torch.cat(downs), UP: in_folder(kept, ups)}


def distinct_downs(parts: Sequence[Lora]) -> tuple[list[Tensor], list[int]]:
    """Every A once, and which of them each part has."""
    downs: list[Tensor] = []
    place: list[int] = []
    for part in parts:
        same = next((n for n, down in enumerate(downs) if torch.equal(down, part.lora_A)), len(downs))
        place.append(same)
        if same == len(downs):
            downs.append(part.lora_A.detach())
    return downs, place


def num_joined(parts: Sequence[Lora]) -> int:
    """The rank of the adapter that does what all `parts` do."""
    return sum(len(down) for down in distinct_downs(parts)[0])


def widths(ranks: Mapping[str, int], scales: Mapping[str, float], *, stabilized: bool) -> dict[str, Width]:
    """Rank and alpha of modules, from their ranks and the factors of their updates."""
    return {name: Width(rank, alpha_for(scales[name], rank, stabilized=stabilized)) for name, rank in ranks.items()}


def patterns(wanted: Mapping[str, Any], given: Mapping[str, Any], default: Any) -> dict[str, Any]:
    """The shortest known patterns by which every name has its wanted value: those given, last parts, or whole names."""
    other = {name: value for name, value in wanted.items() if value != default}
    for candidate in (dict(given), {name.rsplit(".", 1)[-1]: value for name, value in other.items()}):
        if all(math.isclose(by_pattern(candidate, name, default), value) for name, value in wanted.items()):
            return candidate
    return {re.escape(name): value for name, value in other.items()}


@torch.no_grad()
def as_here(model: nn.Module, values: Mapping[str, Any], saved: Mapping[str, Tensor]) -> tuple[dict[str, Any], Tensors]:
    """An adapter folder's values and tensors with the names, parts and orders of rows of the model here.

    Raises ConfigError for a tensor that cannot be taken apart.
    """
    all_kept, blocks = kept_by_folder(model), block_names(model)
    found: Tensors = {}
    scales: dict[str, float] = {}
    stabilized = bool(values.get("use_rslora"))
    for owner, tensors in by_owner(saved).items():
        kept = all_kept.get(owner) or Kept(owner, (blocks.get(owner, owner),), Same(), exchanges_axes=False)
        parts = {kept.parts[0]: tensors} if kept.is_alone else taken_apart(model, kept, tensors)
        found |= {f"{name}.{suffix}": tensor for name, own in parts.items() for suffix, tensor in own.items()}
        if DOWN in tensors:
            scale = Width(len(tensors[DOWN]), width_of(values, owner).alpha).scale(stabilized=stabilized)
            scales |= dict.fromkeys(kept.parts, scale)
    if not scales:
        return dict(values), found
    sizes = widths({name: len(found[f"{name}.{DOWN}"]) for name in scales}, scales, stabilized=stabilized)
    return {**values, **width_patterns(sizes, values, rank=values["r"], alpha=values["lora_alpha"])}, found


def by_owner(saved: Mapping[str, Tensor]) -> dict[str, Tensors]:
    """The tensors of each module of a folder, by what follows the module's name."""
    found: dict[str, Tensors] = {}
    for key, tensor in saved.items():
        owner = module_of(key)
        found.setdefault(owner, {})[key.removeprefix(f"{owner}.")] = tensor
    return found


def taken_apart(model: nn.Module, kept: Kept, tensors: Mapping[str, Tensor]) -> dict[str, Tensors]:
    """The tensors of a fused module's adapter as those of its parts' adapters, by their names here."""
    modules = dict(frozen_modules(model))
    num_rows = sum(out_features(modules[name]) for name in kept.parts)
    found: dict[str, Tensors] = {name: {} for name in kept.parts}
    for suffix, tensor in tensors.items():
        is_inner = suffix == SCALE and tensor.shape[0] == 1
        of_rows = suffix in (UP, LENGTH, SCALE) and not is_inner
        if (is_inner and len(kept.parts) > 1) or suffix not in (DOWN, UP, LENGTH, SCALE):
            raise ConfigError(f"{kept.name} is {', '.join(kept.parts)} here; its {suffix} cannot be taken apart")
        if of_rows and len(tensor) != num_rows:
            raise ConfigError(f"{kept.name}.{suffix} has {len(tensor)} rows, this model's has {num_rows}")
        cut = kept.rows.forward([tensor]) if of_rows else [tensor] * len(kept.parts)
        for name, part in zip(kept.parts, cut, strict=True):
            found[name][suffix] = part
    return {name: without_idle(own) for name, own in found.items()}


def out_features(layer: nn.Module) -> int:
    """Output width of a linear layer, quantised or not."""
    width: int = layer.out_features  # type: ignore[assignment]
    return width


def without_idle(own: Tensors) -> Tensors:
    """A low-rank adapter without the rows of A that its B does not use, or all where B is zero."""
    if DOWN not in own or UP not in own:
        return own
    used_R = (own[UP] != 0).any(0)
    if not bool(used_R.any()) or bool(used_R.all()):
        return own
    return {**own, DOWN: own[DOWN][used_R].contiguous(), UP: own[UP][:, used_R].contiguous()}


def width_patterns(sizes: Mapping[str, Width], given: Mapping[str, Any], *, rank: int, alpha: float) -> dict[str, Any]:
    """`rank_pattern` and `alpha_pattern` by which every module has its rank and alpha."""
    alphas = {name: alpha if math.isclose(size.alpha, alpha) else size.alpha for name, size in sizes.items()}
    return {
        "rank_pattern": patterns(
            {name: size.rank for name, size in sizes.items()}, given.get("rank_pattern") or {}, rank
        ),
        "alpha_pattern": patterns(alphas, given.get("alpha_pattern") or {}, alpha),
    }
