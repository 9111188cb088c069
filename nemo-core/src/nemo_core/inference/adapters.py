"""Adapters that requests of one batch choose from.

An adapter is a mapping from the name of a linear layer to what is added to it; whoever makes one decides how. Only
methods that add a product of two narrow matrices can be mixed within a batch; the others are refused by name.
R rank, I input width, O output width.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from ..checkpoint.folder import read_json
from ..checkpoint.tensors import iterate_file
from ..foundation.errors import ArtifactError, ConfigError
from ..peft import lora
from ..peft.adapter import adapter_names
from ..peft.folder import CONFIG, PREFIX, WEIGHTS, adapted_names
from ..peft.fused import as_here
from ..peft.method import method_of
from ..peft.places import parts
from ..peft.settings import LoraSettings
from ..peft.targets import by_pattern


class LowRankWeights(NamedTuple):
    """What is added to one linear layer: up @ down."""

    down_RI: Tensor
    up_OR: Tensor


AdapterWeights = Mapping[str, LowRankWeights]


def adapter_of_model(model: nn.Module, adapter: str) -> AdapterWeights:
    """The adapter called `adapter` that is on `model`. Raises ConfigError for one that cannot be mixed in a batch."""
    found = parts(model, adapter)
    if not found:
        raise ConfigError(
            f"no adapter {adapter!r} on this model; there are {', '.join(adapter_names(model)) or 'none'}"
        )
    foreign = sorted({str(getattr(part, "method", type(part).__name__)) for part in found.values()} - {"lora"})
    if foreign:
        raise ConfigError(f"adapter {adapter!r} is of method {', '.join(foreign)}; requests can choose LoRA only")
    return {
        name: LowRankWeights(part.lora_A.detach(), part.lora_B.detach() * part.scale)
        for name, part in found.items()
        if isinstance(part, lora.Lora)
    }


def adapter_of_folder(folder: str | Path, model: nn.Module) -> AdapterWeights:
    """The LoRA of a peft folder, for the layers of `model`.

    Raises ArtifactError for another method, a setting that is not followed, or an adapter of another model.
    """
    folder = Path(folder)
    place, values = str(folder / CONFIG), read_json(folder / CONFIG)
    method = method_of(values, place=place)
    if method != "lora" or values.get("modules_to_save"):
        what = "modules_to_save" if method == "lora" else f"method {method}"
        raise ArtifactError(f"{place}: {what}: requests of one batch can choose plain LoRA only; serve it merged")
    saved = {key.removeprefix(PREFIX): tensor for key, tensor in iterate_file(folder / WEIGHTS)}
    try:
        values, saved = as_here(model, values, saved)
        settings = lora.understand(values, adapted_names(saved), saved)
        return {name: low_rank(saved, name, settings) for name in adapted_names(saved)}
    except KeyError as error:
        raise ArtifactError(f"{folder}: lacks {error}") from None
    except ConfigError as error:
        raise ArtifactError(f"{folder}: does not fit this model: {error}") from None


def low_rank(saved: Mapping[str, Tensor], name: str, settings: LoraSettings) -> LowRankWeights:
    """One layer's tensors, the scale in the second."""
    down_RI, up_OR = saved[f"{name}.lora_A.weight"], saved[f"{name}.lora_B.weight"]
    alpha = by_pattern(settings.alpha_pattern, name, settings.alpha)
    rank = len(down_RI)
    return LowRankWeights(down_RI, up_OR * (alpha / (math.sqrt(rank) if settings.rank_stabilized else rank)))
