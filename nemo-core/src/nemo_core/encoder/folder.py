"""BERT folders in Hugging Face layout, in and out: the encoder alone, with a masked-token head, or with classes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..checkpoint.folder import check_folder, read_json, write_json
from ..checkpoint.reader import TensorFolder
from ..checkpoint.scoring import label_names
from ..checkpoint.source import check_sound
from ..checkpoint.tensors import dtype_name, write_tensors
from ..foundation.errors import ArtifactError
from .config import encoder_from_hf, encoder_to_hf
from .model import Classifier, Encoder, MaskedHead

Model = Encoder | MaskedHead | Classifier
HEADS = {
    "cls.predictions.transform.dense.": "dense.",
    "cls.predictions.transform.LayerNorm.": "LayerNorm.",
    "cls.predictions.bias": "bias",
    "bert.pooler.dense.": "pooler.",
    "classifier.": "classifier.",
}
UNUSED = ("position_ids", "pooler.dense.weight", "pooler.dense.bias", "cls.predictions.decoder.weight")
KINDS = {"BertModel": Encoder, "BertForMaskedLM": MaskedHead, "BertForSequenceClassification": Classifier}


def load_encoder(folder: str | Path, *, dtype: torch.dtype = torch.float32) -> Encoder:
    """The encoder of any BERT folder, whatever heads it has, in evaluation mode."""
    model = load_bert(folder, dtype=dtype)
    return model if isinstance(model, Encoder) else model.encoder


def load_bert(folder: str | Path, *, dtype: torch.dtype = torch.float32) -> Model:
    """The model of a BERT folder, as its architecture says, in evaluation mode.

    Raises ArtifactError for another architecture, or a tensor that is missing, superfluous or misshapen.
    """
    folder = check_folder(Path(folder))
    place = str(folder / "config.json")
    values = read_json(folder / "config.json")
    named = (values.get("architectures") or ["BertModel"])[0]
    if named not in KINDS:
        raise ArtifactError(f"{place}: architecture {named!r} is not supported; known: {', '.join(KINDS)}")
    encoder = Encoder(encoder_from_hf(values, place=place))
    model = make(KINDS[named], encoder, values)
    files = TensorFolder(folder)
    loaded: dict[str, Tensor] = {}
    for name in files.infos:
        if not is_unused(name, model):
            tensor = files.read(name)
            check_sound(tensor, place=f"{folder}: tensor {name!r}")
            loaded[ours(name, model)] = tensor.to(dtype)
    fill(model, loaded, folder)
    return model.eval()


def make(kind: type[Model], encoder: Encoder, values: Mapping[str, Any]) -> Model:
    """A model of the kind around the encoder."""
    if kind is Classifier:
        return Classifier(encoder, label_names(dict(values)))
    return encoder if kind is Encoder else MaskedHead(encoder)


def is_unused(name: str, model: nn.Module) -> bool:
    """Whether a tensor of the folder repeats another or belongs to no part of the model."""
    if isinstance(model, Classifier) and "pooler" in name:
        return False
    return name.endswith(UNUSED) or name == "cls.predictions.decoder.bias"


def ours(name: str, model: nn.Module) -> str:
    """The parameter that a tensor of the folder is for."""
    for theirs, mine in HEADS.items():
        if name.startswith(theirs):
            return mine + name.removeprefix(theirs)
    own = "" if isinstance(model, Encoder) else "encoder."
    return own + name.removeprefix("bert.")


def fill(model: nn.Module, loaded: dict[str, Tensor], folder: Path) -> None:
    """Put the tensors in their places; ArtifactError where one is missing, superfluous or misshapen."""
    wanted = dict(model.named_parameters())
    for name in sorted(wanted.keys() ^ loaded.keys()):
        fault = "lacks" if name in wanted else "the model that config.json describes has no"
        raise ArtifactError(f"{folder}: {fault} {name}")
    for name, tensor in loaded.items():
        if tensor.shape != wanted[name].shape:
            raise ArtifactError(f"{folder}: {name} is {list(tensor.shape)}, needed is {list(wanted[name].shape)}")
    model.load_state_dict(loaded, assign=True)
    model.requires_grad_(True)


def save_bert(model: Model, folder: str | Path) -> None:
    """Write config.json and safetensors of a model into `folder` (made if absent)."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    architecture = next(name for name, kind in KINDS.items() if isinstance(model, kind))
    tensors = {theirs(name, model): weight.detach() for name, weight in model.named_parameters()}
    write_tensors(folder, tensors)
    config = model.config if isinstance(model, Encoder) else model.encoder.config
    dtype = dtype_name(next(model.parameters()).dtype)
    values = encoder_to_hf(config, architecture=architecture, dtype=dtype)
    if isinstance(model, Classifier):
        values["id2label"] = {str(number): label for number, label in enumerate(model.labels)}
        values["label2id"] = {label: number for number, label in enumerate(model.labels)}
    write_json(folder / "config.json", values)


def theirs(name: str, model: nn.Module) -> str:
    """What the folder calls a parameter."""
    if isinstance(model, Encoder):
        return name
    if name.startswith("encoder."):
        return "bert." + name.removeprefix("encoder.")
    return next(other + name.removeprefix(mine) for other, mine in HEADS.items() if name.startswith(mine))
