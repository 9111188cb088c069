"""Adapter folders of the peft library: adapter_config.json and adapter_model.safetensors, out and in."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..checkpoint.folder import read_json, write_json
from ..checkpoint.tensors import iterate_file, write_file
from ..foundation.errors import ArtifactError, ConfigError
from .adapter import DEFAULT, Model, active_adapter, copies, own_parts, place_adapter
from .method import Start, load_method, method_of
from .naming import folder_names, module_names
from .places import parts
from .prompt import EMBEDDING

PREFIX = "base_model.model."
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
PROMPT = "prompt_embeddings"
MARKS = (".lora_", ".ia3_l", ".adapter.")


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
    """All tensors of an adapter under the names they have in its folder."""
    tensors: dict[str, Tensor] = {}
    named = folder_names(model, parts(model, adapter))
    for name, part in own_parts(model, adapter).items():
        for suffix, tensor in part.stored().items():  # type: ignore[operator]
            tensors[PROMPT if suffix == PROMPT else f"{PREFIX}{named[name]}.{suffix}"] = tensor
    for name, module in copies(model, adapter).items():
        whole = module.state_dict(keep_vars=True)
        tensors |= {f"{PREFIX}{named[name]}.{key}": tensor for key, tensor in whole.items()}
    return tensors


def adapter_config(model: nn.Module, adapter: str, base: str) -> dict[str, Any]:
    """The adapter_config.json that the peft library reads."""
    own = own_parts(model, adapter)
    one: Any = next(iter(own.values()))
    method = load_method(one.method)
    saved = sorted(folder_names(model, copies(model, adapter)).values())
    return {
        "peft_type": method.PEFT_TYPE,
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base,
        "inference_mode": True,
        **method.describe(one.settings, folder_names(model, own), model=model),
        **({"modules_to_save": saved} if saved else {}),
    }


def load_adapter(model: Model, folder: str | Path, *, adapter: str = DEFAULT) -> Model:
    """Put the adapter of a folder on `model`, active and learning; others that are there stay.

    Raises ArtifactError where the folder holds none of a kind we know, or one that does not fit the model.
    """
    folder = Path(folder)
    place = str(folder / CONFIG)
    values = read_json(folder / CONFIG)
    method = load_method(name := method_of(values, place=place))
    saved = {key.removeprefix(PREFIX): tensor for key, tensor in iterate_file(folder / WEIGHTS)}
    try:
        saved = renamed(model, saved)
        copied, names = copied_names(values, saved), adapted_names(saved)
        settings = method.understand(values, names, saved)
        if copied:
            settings = type(settings)(**{**vars(settings), "modules_to_save": tuple(copied)})
        place_adapter(model, name, settings, adapter=adapter, start=Start(restored=True))
    except KeyError as error:
        raise ArtifactError(f"{place}: lacks {error}") from None
    except ArtifactError as error:
        raise ArtifactError(f"{place}: {error}") from None
    except ConfigError as error:
        raise ArtifactError(f"{folder}: does not fit this model: {error}") from None
    fill(model, adapter, saved, folder)
    return model


def renamed(model: nn.Module, saved: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a folder under the names of the modules here."""
    owners = {key: module_of(key) for key in saved if key != PROMPT}
    here = module_names(model, set(owners.values()))
    return {key if key == PROMPT else here[owners[key]] + key[len(owners[key]) :]: saved[key] for key in saved}


def module_of(key: str) -> str:
    """The module that a tensor of a folder belongs to."""
    marks = [key.index(mark) for mark in MARKS if mark in key]
    return key[: min(marks)] if marks else key.rpartition(".")[0]


def copied_names(values: Mapping[str, Any], saved: Mapping[str, Tensor]) -> list[str]:
    """Names of the modules whose whole weights are in the folder; as in peft, "norm" names "input_layernorm" too."""
    wanted = tuple(values.get("modules_to_save") or ())
    owners = {key.rpartition(".")[0] for key in saved if not any(mark in key for mark in MARKS)}
    return sorted(name for name in owners if wanted and name.endswith(wanted))


def adapted_names(saved: Mapping[str, Tensor]) -> list[str]:
    """Places that have parts in the folder."""
    if PROMPT in saved:
        return [EMBEDDING]
    found = {key[: key.index(mark)] for key in saved for mark in MARKS if mark in key}
    return sorted(found)


@torch.no_grad()
def fill(model: nn.Module, adapter: str, saved: dict[str, Tensor], folder: Path) -> None:
    """Copy every tensor of the folder to its place. Raises ArtifactError for one missing, extra or misshapen."""
    stored = {key.removeprefix(PREFIX): tensor for key, tensor in stored_tensors(model, adapter).items()}
    wanted = renamed(model, stored)
    unlike = sorted(wanted.keys() ^ saved.keys())
    if unlike:
        fault = "lacks" if unlike[0] in wanted else "this model has no place for"
        raise ArtifactError(f"{folder}: {fault} {unlike[0]} ({len(unlike)} tensors do not match)")
    for key, target in wanted.items():
        if target.shape != saved[key].shape:
            raise ArtifactError(f"{folder}: {key} is {list(saved[key].shape)}, this model needs {list(target.shape)}")
        target.copy_(saved[key])
