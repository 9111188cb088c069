"""Folders of Hugging Face sequence classifiers (``LlamaForSequenceClassification`` and its like), in and out."""

import dataclasses
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..config import ModelConfig
from ..families import config_from_hf, config_to_hf
from ..families.layout import tensor_map
from ..foundation.errors import ArtifactError
from ..model.decoder import Decoder
from ..model.scoring import ScoringModel
from .folder import check_folder, read_json, write_json
from .reader import TensorInfo
from .source import ModelFolder, check_sound, left_infos, left_reader
from .tensors import dtype_name
from .writer import write_stream

ENDING = "ForSequenceClassification"
HEAD = "score.weight"
CAUSAL = ("ForCausalLM", "LMHeadModel")


def load_scoring_model(
    folder: str | Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
) -> ScoringModel:
    """The classifier or reward model of a folder, in evaluation mode.

    Raises ArtifactError for a folder of another kind, or with a tensor that is missing, superfluous or misshapen.
    """
    source, labels = open_scoring(Path(folder), to_compute=True)
    head = source.files.read(HEAD)
    check_sound(head, place=f"{folder}: tensor {HEAD!r}")
    model = ScoringModel(Decoder(source.config), labels)
    loaded = {f"decoder.{name}": tensor.to(dtype) for name, tensor in source.map.forward(source.read)}
    model.load_state_dict({**loaded, HEAD: head.to(dtype)}, assign=True)
    return model.to(device).requires_grad_(True).eval()


def open_scoring(folder: Path, *, to_compute: bool = False) -> tuple[ModelFolder, list[str]]:
    """The tensors of a classifier or reward model, checked but not read yet, and the names of its scores."""
    check_folder(folder)
    place = str(folder / "config.json")
    values = read_json(folder / "config.json")
    config = dataclasses.replace(config_from_hf(causal(values, place), place=place), tied_embeddings=True)
    source = ModelFolder(folder, config, beside={HEAD}, to_compute=to_compute)
    labels = label_names(values)
    found = source.files.infos.get(HEAD)
    if found is None or found.shape != (len(labels), config.hidden_size):
        shape = "is missing" if found is None else f"is {list(found.shape)}"
        raise ArtifactError(f"{folder}: {HEAD} {shape}, config.json asks for {[len(labels), config.hidden_size]}")
    return source, labels


def is_scoring_folder(folder: Path) -> bool:
    """Whether a model folder holds a sequence classifier."""
    named = read_json(folder / "config.json").get("architectures") or [""]
    return str(named[0]).endswith(ENDING)


def causal(values: dict[str, Any], place: str) -> dict[str, Any]:
    """The config.json of the language model that a classifier is made of."""
    named = (values.get("architectures") or [""])[0]
    if not named.endswith(ENDING):
        raise ArtifactError(f"{place}: architecture {named!r} is no sequence classifier (...{ENDING})")
    family = named.removesuffix(ENDING)
    return {**values, "architectures": [f"{family}LMHeadModel" if family == "GPT2" else f"{family}ForCausalLM"]}


def label_names(values: dict[str, Any]) -> list[str]:
    """Names of the scores, in order; a folder without any has Hugging Face's two."""
    named = {int(number): str(name) for number, name in (values.get("id2label") or {}).items()}
    count = len(named) or int(values.get("num_labels", 2))
    return [named.get(number, f"LABEL_{number}") for number in range(count)]


def save_scoring_model(model: ScoringModel, folder: str | Path) -> None:
    """Write config.json and safetensors of a classifier into `folder` (made if absent)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = dataclasses.replace(model.decoder.config, tied_embeddings=True)
    tensors = {name: t for name, t in model.decoder.state_dict().items() if name != "lm_head.weight"}
    layout = tensor_map(config)
    infos = left_infos(layout, {name: TensorInfo(tuple(t.shape), t.dtype) for name, t in tensors.items()})
    weight = model.score.weight.detach()
    infos[HEAD] = TensorInfo(tuple(weight.shape), weight.dtype)
    decoder = left_reader(layout, tensors.__getitem__)

    def read(name: str) -> Tensor:
        return weight if name == HEAD else decoder(name)

    write_stream(folder, infos, read)
    write_json(folder / "config.json", classifier_config(config, model.labels, dtype=dtype_name(weight.dtype)))


def classifier_config(config: ModelConfig, labels: tuple[str, ...], *, dtype: str) -> dict[str, Any]:
    """The config.json that transformers reads."""
    values = config_to_hf(config, dtype=dtype)
    family = values["architectures"][0]
    for ending in CAUSAL:
        family = family.removesuffix(ending)
    return {
        **values,
        "architectures": [f"{family}{ENDING}"],
        "id2label": {str(number): label for number, label in enumerate(labels)},
        "label2id": {label: number for number, label in enumerate(labels)},
    }
