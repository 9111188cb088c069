"""LoRA (Hu et al. 2021): y = W x + (alpha / rank) B A x, with W frozen. Folders are those of the peft library.

R rank, I input width, O output width.
"""

import contextlib
import fnmatch
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..checkpoint.folder import read_json, write_json
from ..checkpoint.tensors import iterate_file, write_file
from ..foundation.errors import ArtifactError, ConfigError
from ..model.decoder import Decoder

DEFAULT_TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
PREFIX = "base_model.model."
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


class LoraLinear(nn.Module):
    """A frozen linear layer with a trained low-rank addition that can be switched off."""

    def __init__(self, base: nn.Linear, *, rank: int, alpha: float) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.rank, self.alpha, self.enabled = rank, alpha, True
        self.lora_A = nn.Parameter(base.weight.new_zeros(rank, base.in_features))
        self.lora_B = nn.Parameter(base.weight.new_zeros(base.out_features, rank))

    def delta_OI(self) -> Tensor:
        """What is added to the weight."""
        return self.lora_B @ self.lora_A * (self.alpha / self.rank)

    def forward(self, x: Tensor) -> Tensor:
        """[..., I] -> [..., O]."""
        y: Tensor = self.base(x)
        if self.enabled:
            y = y + (x @ self.lora_A.T) @ self.lora_B.T * (self.alpha / self.rank)
        return y


def add_lora(
    model: Decoder, *, rank: int, alpha: float, targets: Sequence[str] = DEFAULT_TARGETS, seed: int
) -> Decoder:
    """Freeze `model` and give each linear layer whose name matches `targets` a low-rank addition, zero at first.

    A target is the last part of a name ("q_proj") or a pattern over the whole name ("model.layers.0.*").
    Raises ConfigError for a rank below 1 or a target that matches nothing.
    """
    if rank < 1:
        raise ConfigError(f"rank={rank}: a LoRA rank is at least 1")
    chosen = matching_linears(model, targets)
    model.requires_grad_(False)
    draw = torch.Generator().manual_seed(seed)
    for name in chosen:
        adapted = LoraLinear(model.get_submodule(name), rank=rank, alpha=alpha)  # type: ignore[arg-type]
        with torch.no_grad():
            bound = 1 / math.sqrt(adapted.base.in_features)
            adapted.lora_A.uniform_(-bound, bound, generator=draw)
        replace_module(model, name, adapted)
    return model


def matching_linears(model: nn.Module, targets: Sequence[str]) -> list[str]:
    """Names of the linear layers that the targets choose."""
    linears = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and name != "lm_head"]
    chosen: list[str] = []
    for target in targets:
        found = [n for n in linears if n.rsplit(".", 1)[-1] == target or fnmatch.fnmatch(n, target)]
        if not found:
            known = sorted({n.rsplit(".", 1)[-1] for n in linears})
            raise ConfigError(f"LoRA target {target!r} matches no linear layer; there are {', '.join(known)}")
        chosen += found
    return list(dict.fromkeys(chosen))


def replace_module(model: nn.Module, name: str, module: nn.Module) -> None:
    """Put `module` where `name` points."""
    parent, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(parent), leaf, module)


def lora_layers(model: nn.Module) -> dict[str, LoraLinear]:
    """The adapted layers by name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoraLinear)}


@torch.no_grad()
def merge_lora(model: Decoder) -> Decoder:
    """Add every adapter into its weight and remove it; all weights are trainable again."""
    for name, layer in lora_layers(model).items():
        layer.base.weight += layer.delta_OI()
        replace_module(model, name, layer.base)
    model.requires_grad_(True)
    return model


@contextlib.contextmanager
def adapters_disabled(model: nn.Module) -> Iterator[None]:
    """Within the block the model answers as its frozen base does."""
    layers = list(lora_layers(model).values())
    before = [layer.enabled for layer in layers]
    for layer in layers:
        layer.enabled = False
    try:
        yield
    finally:
        for layer, enabled in zip(layers, before):
            layer.enabled = enabled


def save_adapter(model: Decoder, folder: str | Path, *, base: str) -> None:
    """Write adapter_config.json and adapter_model.safetensors; `base` is the model folder they belong to."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    layers = lora_layers(model)
    if not layers:
        raise ArtifactError(f"{folder}: the model has no adapter to save")
    tensors = {}
    for name, layer in layers.items():
        tensors[f"{PREFIX}{name}.lora_A.weight"] = layer.lora_A
        tensors[f"{PREFIX}{name}.lora_B.weight"] = layer.lora_B
    write_file(folder / WEIGHTS, tensors)
    one = next(iter(layers.values()))
    write_json(folder / CONFIG, adapter_config(list(layers), one, base))


def adapter_config(names: Sequence[str], layer: LoraLinear, base: str) -> dict[str, Any]:
    """The adapter_config.json that the peft library reads."""
    return {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "r": layer.rank,
        "lora_alpha": layer.alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "target_modules": sorted(set(names)),
    }


def load_adapter(model: Decoder, folder: str | Path) -> Decoder:
    """Put the adapter of a PEFT folder on `model`. Raises ArtifactError where it is no LoRA or does not fit."""
    folder = Path(folder)
    values = read_json(folder / CONFIG)
    unsupported = {k: values[k] for k in ("use_dora", "use_rslora", "rank_pattern", "alpha_pattern") if values.get(k)}
    if values.get("peft_type") != "LORA" or unsupported:
        raise ArtifactError(
            f"{folder / CONFIG}: only plain LoRA is supported, this is {unsupported or values.get('peft_type')}"
        )
    saved = dict(iterate_file(folder / WEIGHTS))
    names = sorted({n.removeprefix(PREFIX).rsplit(".lora_", 1)[0] for n in saved})
    try:
        add_lora(model, rank=values["r"], alpha=values["lora_alpha"], targets=names, seed=0)
    except ConfigError as error:
        raise ArtifactError(f"{folder}: does not fit this model: {error}") from None
    for name, layer in lora_layers(model).items():
        for part in ("lora_A", "lora_B"):
            copy_checked(getattr(layer, part), saved[f"{PREFIX}{name}.{part}.weight"], folder, name)
    return model


@torch.no_grad()
def copy_checked(target: Tensor, source: Tensor, folder: Path, name: str) -> None:
    """Copy one tensor, or say that it does not fit."""
    if target.shape != source.shape:
        raise ArtifactError(f"{folder}: {name} is {list(source.shape)}, this model needs {list(target.shape)}")
    target.copy_(source)
