"""Adapter folders of the peft library: adapter_config.json and adapter_model.safetensors, out and in."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..checkpoint.folder import read_json, write_json
from ..checkpoint.source import check_sound
from ..checkpoint.tensors import iterate_file, write_file
from ..foundation.errors import ArtifactError, ConfigError
from .adapter import DEFAULT, Model, active_adapter, copies, own_parts, place_adapter
from .fused import as_here, check_ranks, joined, num_joined, width_patterns, widths
from .lora import Lora
from .method import Start, load_method, method_of
from .naming import MARKS, check_alone, folder_names, kept_by_folder, kept_by_part
from .places import parts
from .prompt import EMBEDDING

PREFIX = "base_model.model."
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PROMPT = "prompt_embeddings"
LORA = "LORA"


def save_adapter(model: nn.Module, folder: str | Path, *, base: str, adapter: str | None = None) -> None:
    """Write an adapter (default: the active one) into `folder`; `base` is the model folder it belongs to."""
    folder = Path(folder)
    chosen = adapter or active_adapter(model)
    own = own_parts(model, chosen) if chosen else {}
    if chosen is None or not own:
        raise ArtifactError(f"{folder}: the model has no adapter to save")
    folder.mkdir(parents=True, exist_ok=True)
    write_file(folder / WEIGHTS, stored_tensors(model, chosen))
    write_json(folder / CONFIG, adapter_config(model, chosen, base))


def stored_tensors(model: nn.Module, adapter: str) -> dict[str, Tensor]:
    """All tensors of an adapter under the names, and laid out, as they are in its folder.

    Raises ConfigError for what a folder of the model's family cannot express.
    """
    tensors: dict[str, Tensor] = {}
    own, kept = own_parts(model, adapter), kept_by_part(model)
    for owner, names in shared_names(model, own).items():
        fused = kept.get(names[0])
        if fused is None or fused.is_alone:
            stored = own[names[0]].stored()  # type: ignore[operator]
        else:
            stored = joined(model, fused, {name: own[name] for name in names})
        for suffix, tensor in stored.items():
            tensors[PROMPT if suffix == PROMPT else f"{PREFIX}{owner}.{suffix}"] = tensor
    copied = copies(model, adapter)
    check_alone(model, copied)
    named = folder_names(model, copied)
    for name, module in copied.items():
        whole = module.state_dict(keep_vars=True)
        tensors |= {f"{PREFIX}{named[name]}.{key}": tensor for key, tensor in whole.items()}
    return tensors


def shared_names(model: nn.Module, names: Iterable[str]) -> dict[str, list[str]]:
    """Names here by the one that they have, or share, in a folder."""
    found: dict[str, list[str]] = {}
    for name, owner in folder_names(model, names).items():
        found.setdefault(owner, []).append(name)
    return found


def own_tensors(model: nn.Module, adapter: str) -> dict[str, Tensor]:
    """All tensors of an adapter under their names here."""
    found: dict[str, Tensor] = {}
    for name, part in own_parts(model, adapter).items():
        stored: dict[str, Tensor] = part.stored()  # type: ignore[operator]
        found |= {PROMPT if suffix == PROMPT else f"{name}.{suffix}": tensor for suffix, tensor in stored.items()}
    for name, module in copies(model, adapter).items():
        found |= {f"{name}.{key}": tensor for key, tensor in module.state_dict(keep_vars=True).items()}
    return found


def adapter_config(model: nn.Module, adapter: str, base: str) -> dict[str, Any]:
    """The adapter_config.json that the peft library reads."""
    own = own_parts(model, adapter)
    one: Any = next(iter(own.values()))
    method = load_method(one.method)
    saved = sorted(folder_names(model, copies(model, adapter)).values())
    values = method.describe(one.settings, folder_names(model, own), model=model)
    if method.PEFT_TYPE == LORA:
        values |= folder_patterns(model, values, {name: part for name, part in own.items() if isinstance(part, Lora)})
    return {
        "peft_type": method.PEFT_TYPE,
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        **values,
        **({"modules_to_save": saved} if saved else {}),
    }


def folder_patterns(model: nn.Module, values: Mapping[str, Any], parts: Mapping[str, Lora]) -> dict[str, Any]:
    """Ranks and alphas of the modules of a folder, where they are not those that `values` give for all."""
    shared = shared_names(model, parts)
    scales = {owner: parts[names[0]].scale for owner, names in shared.items()}
    ranks = {owner: num_joined([parts[name] for name in names]) for owner, names in shared.items()}
    sizes = widths(ranks, scales, stabilized=values["use_rslora"])
    return width_patterns(sizes, values, rank=values["r"], alpha=values["lora_alpha"])


def load_adapter(model: Model, folder: str | Path, *, adapter: str = DEFAULT) -> Model:
    """Put the adapter of a folder on `model`, active and learning; others that are there stay.

    The model may be without numbers (on the meta device); the adapter is then on the CPU.

    Raises ArtifactError where the folder holds none of a kind we know, or one that does not fit the model.
    """
    folder = check_adapter_folder(Path(folder))
    place = str(folder / CONFIG)
    values = read_json(folder / CONFIG)
    method = load_method(name := method_of(values, place=place))
    saved = {key.removeprefix(PREFIX): tensor for key, tensor in iterate_file(folder / WEIGHTS)}
    try:
        copied = copied_names(model, values, saved)
        given, stored = values, saved
        if PROMPT not in saved:
            values, saved = as_here(model, values, saved)
        names = adapted_names(saved)
        settings = method.understand(values, names, saved)
        check_ranks(given, stored)
        if copied:
            settings = type(settings)(**{**vars(settings), "modules_to_save": tuple(copied)})
        place_adapter(model, name, settings, adapter=adapter, start=Start(restored=True))
    except KeyError as error:
        raise ArtifactError(f"{place}: lacks {error}") from None
    except ArtifactError as error:
        raise ArtifactError(f"{place}: {error}") from None
    except ConfigError as error:
        raise ArtifactError(f"{folder}: does not fit this model: {error}") from None
    materialize(model, adapter)
    fill(model, adapter, saved, folder)
    return model


def check_adapter_folder(folder: Path) -> Path:
    """The folder, once both files of an adapter are in it. Raises ArtifactError otherwise."""
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise ArtifactError(f"{folder}: no {name}, so this is no adapter folder{hint_at_adapter(folder, name)}")
    return folder


def hint_at_adapter(folder: Path, missing: str) -> str:
    """Where else an adapter is, or why the one here is not read."""
    if missing == WEIGHTS and (folder / "adapter_model.bin").is_file():
        return "; adapter_model.bin is a pickle, which is never read; save it with peft's safetensors instead"
    beside = folder / "adapter"
    return f"; the adapter of this model is {beside}" if (beside / CONFIG).is_file() else ""


def copied_names(model: nn.Module, values: Mapping[str, Any], saved: Mapping[str, Tensor]) -> list[str]:
    """Names here of the modules whose whole weights are in the folder; as in peft, the end of a name names it."""
    wanted = tuple(values.get("modules_to_save") or ())
    kept = kept_by_folder(model)
    owners = {key.rpartition(".")[0] for key in saved if not any(mark in key for mark in MARKS)}
    named = [name for name in owners if wanted and name.endswith(wanted)]
    return sorted(kept[name].parts[0] if name in kept else name for name in named)


def adapted_names(saved: Mapping[str, Tensor]) -> list[str]:
    """Places that have parts in the folder."""
    if PROMPT in saved:
        return [EMBEDDING]
    found = {key[: key.index(mark)] for key in saved for mark in MARKS if mark in key}
    return sorted(found)


def materialize(model: nn.Module, adapter: str) -> None:
    """Give the parts of an adapter memory on the CPU, where they were put on a model without numbers."""
    for part in parts(model, adapter).values():
        if any(tensor.is_meta for tensor in part.state_dict().values()):
            part.to_empty(device="cpu")


@torch.no_grad()
def fill(model: nn.Module, adapter: str, saved: dict[str, Tensor], folder: Path) -> None:
    """Copy every tensor of the folder to its place. Raises ArtifactError for one missing, extra or misshapen."""
    wanted = own_tensors(model, adapter)
    unlike = sorted(wanted.keys() ^ saved.keys())
    if unlike:
        fault = "lacks" if unlike[0] in wanted else "this model has no place for"
        raise ArtifactError(f"{folder}: {fault} {unlike[0]} ({len(unlike)} tensors do not match)")
    for key, target in wanted.items():
        if target.shape != saved[key].shape:
            raise ArtifactError(f"{folder}: {key} is {list(saved[key].shape)}, this model needs {list(target.shape)}")
        check_sound(saved[key], place=f"{folder}: {key}")
        target.copy_(saved[key])
