"""Adapters that requests of one batch choose from.

An adapter is a mapping from the name of a linear layer to how that is changed; whoever makes one decides how. Methods
that change linear layers (LoRA, rsLoRA, DoRA, IA3) can be mixed within a batch; the others are refused by name.
R rank, I input width, O output width.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from ..checkpoint.folder import read_json
from ..checkpoint.source import check_sound
from ..checkpoint.tensors import iterate_file
from ..foundation.errors import ArtifactError, ConfigError
from ..peft import ia3, lora
from ..peft.adapter import adapter_names
from ..peft.dora import Dora
from ..peft.folder import CONFIG, PREFIX, WEIGHTS, adapted_names, check_adapter_folder
from ..peft.fused import as_here, check_ranks
from ..peft.ia3 import Ia3
from ..peft.method import method_of
from ..peft.places import parts
from ..peft.settings import LoraSettings
from ..peft.targets import by_pattern


class LowRankWeights(NamedTuple):
    """What is added to one linear layer: up @ down."""

    down_RI: Tensor
    up_OR: Tensor


class DoraWeights(NamedTuple):
    """The same, and the length that each output's weights have then."""

    down_RI: Tensor
    up_OR: Tensor
    magnitude_O: Tensor


class OutputScale(NamedTuple):
    """A factor on each output."""

    scale_O: Tensor


class InputScale(NamedTuple):
    """A factor on each input."""

    scale_I: Tensor


LayerWeights = LowRankWeights | DoraWeights | OutputScale | InputScale
AdapterWeights = Mapping[str, LayerWeights]
MIXED = ("lora", "dora", "ia3")


def widths_of(weights: LayerWeights) -> tuple[int | None, int | None]:
    """Input and output width of the layer that the weights are for; None where they do not say."""
    if isinstance(weights, InputScale):
        return len(weights.scale_I), None
    if isinstance(weights, OutputScale):
        return None, len(weights.scale_O)
    return weights.down_RI.shape[1], weights.up_OR.shape[0]


def adapter_of_model(model: nn.Module, adapter: str) -> AdapterWeights:
    """The adapter called `adapter` that is on `model`. Raises ConfigError for one that cannot be mixed in a batch."""
    found = parts(model, adapter)
    if not found:
        raise ConfigError(
            f"no adapter {adapter!r} on this model; there are {', '.join(adapter_names(model)) or 'none'}"
        )
    foreign = sorted({str(getattr(part, "method", type(part).__name__)) for part in found.values()} - {*MIXED})
    if foreign:
        raise ConfigError(
            f"adapter {adapter!r} is of method {', '.join(foreign)}; requests can choose {', '.join(MIXED)} only"
        )
    return {name: weights_of_part(part) for name, part in found.items()}


def weights_of_part(part: nn.Module) -> LayerWeights:
    """What a layer's part of an adapter does."""
    if isinstance(part, Ia3):
        return scales(part.ia3_l.detach().flatten(), is_inner=part.feedforward)
    assert isinstance(part, lora.Lora)
    down_RI, up_OR = part.lora_A.detach(), part.lora_B.detach() * part.scale
    if isinstance(part, Dora):
        return DoraWeights(down_RI, up_OR, part.magnitude_O.detach())
    return LowRankWeights(down_RI, up_OR)


def adapter_of_folder(folder: str | Path, model: nn.Module) -> AdapterWeights:
    """The LoRA, DoRA or IA3 of a peft folder, for the layers of `model`.

    Raises ArtifactError for another method, a setting that is not followed, or an adapter of another model.
    """
    folder = check_adapter_folder(Path(folder))
    place, values = str(folder / CONFIG), read_json(folder / CONFIG)
    method = method_of(values, place=place)
    if method not in MIXED or values.get("modules_to_save"):
        what = "modules_to_save" if method in MIXED else f"method {method}"
        raise ArtifactError(
            f"{place}: {what}: requests of one batch can choose {', '.join(MIXED)} only; serve it merged"
        )
    saved = {key.removeprefix(PREFIX): tensor for key, tensor in iterate_file(folder / WEIGHTS)}
    for name, tensor in saved.items():
        check_sound(tensor, place=f"{folder}: {name}")
    try:
        given, stored = values, saved
        values, saved = as_here(model, values, saved)
        names = adapted_names(saved)
        if method == "ia3":
            inner = ia3.understand(values, names, saved).feedforward
            return {name: scales(saved[f"{name}.ia3_l"].flatten(), is_inner=name in inner) for name in names}
        settings = lora.understand(values, names, saved)
        check_ranks(given, stored)
        found = {name: low_rank(saved, name, settings) for name in names}
        if method == "lora":
            return found
        return {name: DoraWeights(*one, saved[f"{name}.lora_magnitude_vector"]) for name, one in found.items()}
    except KeyError as error:
        raise ArtifactError(f"{folder}: lacks {error}") from None
    except ArtifactError as error:
        raise ArtifactError(f"{place}: {error}") from None
    except ConfigError as error:
        raise ArtifactError(f"{folder}: does not fit this model: {error}") from None


def scales(scale: Tensor, *, is_inner: bool) -> LayerWeights:
    """IA3's scale of a layer's inputs, or of its outputs."""
    return InputScale(scale) if is_inner else OutputScale(scale)


def low_rank(saved: Mapping[str, Tensor], name: str, settings: LoraSettings) -> LowRankWeights:
    """One layer's tensors, the scale in the second."""
    down_RI, up_OR = saved[f"{name}.lora_A.weight"], saved[f"{name}.lora_B.weight"]
    alpha = by_pattern(settings.alpha_pattern, name, settings.alpha)
    rank = len(down_RI)
    return LowRankWeights(down_RI, up_OR * (alpha / (math.sqrt(rank) if settings.rank_stabilized else rank)))
