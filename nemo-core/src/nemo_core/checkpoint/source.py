"""A Hugging Face folder read as canonical tensors, and canonical tensors read as those of a folder; one at a time."""

import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from ..config import ModelConfig
from ..families.layout import layout_of
from ..foundation.errors import ArtifactError
from ..shapes import tensor_specs
from .mapping.rules import Read, Rule, TensorMap
from .reader import TensorFolder, TensorInfo
from .tensors import dtype_name

HEAD = "lm_head.weight"


class ModelFolder:
    """The tensors of a model folder under both their names; it may hold those called `beside` as well.

    Raises ArtifactError naming a tensor that is missing, superfluous or of another shape than config.json asks for, and
    where the tensors are read `to_compute` with them, one that is not all finite floating-point numbers.
    """

    def __init__(
        self, folder: Path, config: ModelConfig, *, beside: Iterable[str] = (), to_compute: bool = False
    ) -> None:
        layout = layout_of(config)
        self.folder, self.config, self.to_compute = folder, config, to_compute
        self.map = layout.tensor_map(config)
        self.specs = tensor_specs(config)
        self.files = TensorFolder(folder)
        self.names = stored_names(self.map.by_left, self.files.infos, layout.prefix)
        self.head, self.embedding = layout.rename(HEAD), layout.rename("model.embed_tokens.weight")
        tied = {self.head} if config.tied_embeddings else set()
        self.check(tied | set(beside))
        if self.head in tied & self.files.infos.keys() and not beside:
            self.check_tied()
        self._last: tuple[Rule | None, dict[str, Tensor]] = (None, {})

    @property
    def infos(self) -> dict[str, TensorInfo]:
        """Shape and type of each tensor, under the family's names."""
        return {name: self.files.infos[stored] for name, stored in self.names.items()}

    def read(self, name: str) -> Tensor:
        """The tensor that the family calls `name`."""
        tensor = self.files.read(self.names[name])
        if self.to_compute:
            check_sound(tensor, place=f"{self.folder}: tensor {self.names[name]!r}")
        return tensor

    def canonical(self, name: str) -> Tensor:
        """The canonical tensor `name`; those that come from the same one are made together, and kept until the next."""
        rule = self.map.by_right[name]
        if rule is not self._last[0]:
            self._last = None, {}
            self._last = rule, rule.apply(self.read)
        return self._last[1][name]

    @cached_property
    def _canonical_infos(self) -> dict[str, TensorInfo]:
        return right_infos(self.map, self.infos)

    def info(self, name: str) -> TensorInfo:
        """Shape and type of the canonical tensor `name`."""
        return self._canonical_infos[name]

    def check(self, tied: set[str]) -> None:
        """Compare what the files hold with what the config asks for."""
        ignored = [re.compile(pattern) for pattern in self.map.ignored]
        stored = set(self.names.values())
        for name in self.files.infos:
            if name not in stored and name not in tied and not any(pattern.search(name) for pattern in ignored):
                raise ArtifactError(
                    f"{self.folder}: tensor {name!r} has no place in the model that config.json describes"
                )
        missing = sorted(self.map.by_left.keys() - self.names.keys())
        if missing:
            hint = " (saved without its output head; it predicts no tokens)" if missing == [self.head] else ""
            raise ArtifactError(
                f"{self.folder}: lacks {len(missing)} tensor(s) that config.json asks for: {some(missing)}{hint}"
            )
        for name, shape in left_shapes(self.map, {name: spec.shape for name, spec in self.specs.items()}).items():
            found = self.files.infos[self.names[name]].shape
            if found != shape:
                raise ArtifactError(
                    f"{self.folder}: tensor {name!r} is {list(found)}, config.json asks for {list(shape)}"
                )

    def check_tied(self) -> None:
        """Raise ArtifactError where a folder with tied embeddings has an output head of other numbers."""
        head, embedding = self.files.read(self.head), self.read(self.embedding)
        if head.shape != embedding.shape or not bool((head == embedding).all()):
            raise ArtifactError(
                f"{self.folder}: tensor {self.head!r} differs from {self.embedding!r}, but config.json says "
                "tie_word_embeddings=true (or has it by default); set it to false, or remove the tensor"
            )


def check_sound(tensor: Tensor, *, place: str) -> None:
    """Raise ArtifactError where a tensor holds no floating-point numbers, or one that is NaN or infinite."""
    if not tensor.is_floating_point():
        raise ArtifactError(f"{place} is {dtype_name(tensor.dtype)}, weights are floating-point; convert it again")
    wide = tensor if tensor.dtype.itemsize > 1 else tensor.float()
    if wide.numel() and not all(bound.isfinite() for bound in wide.aminmax()):
        kinds = f"{int(wide.isnan().sum())} NaN and {int(wide.isinf().sum())} infinite numbers of {wide.numel()}"
        raise ArtifactError(f"{place} holds {kinds}: it is damaged, or training diverged; take an earlier checkpoint")


def stored_names(wanted: Iterable[str], stored: Iterable[str], prefix: str) -> dict[str, str]:
    """What the files call each wanted tensor: the same, or without `prefix` where all of them lack it."""
    there = set(stored)
    bare = not any(name.startswith(prefix) for name in there)
    names = {name: name.removeprefix(prefix) if bare else name for name in wanted}
    return {name: found for name, found in names.items() if found in there}


def left_shapes(tensors: TensorMap, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Shapes of the left tensors, from those of the right ones."""
    infos = {name: TensorInfo(shape, torch.float32) for name, shape in shapes.items()}
    return {name: info.shape for name, info in left_infos(tensors, infos).items()}


def left_infos(tensors: TensorMap, infos: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    """Shape and type of each left tensor, from those of the right ones: the transforms run without numbers."""
    return infos_through([rule.reversed for rule in tensors.rules], infos)


def right_infos(tensors: TensorMap, infos: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    """The same of each right tensor."""
    return infos_through(tensors.rules, infos)


def infos_through(rules: Iterable[Rule], infos: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    """Shapes and types that rules make of others."""
    found: dict[str, TensorInfo] = {}
    for rule in rules:
        if rule.keeps_numbers:
            found |= zip(rule.right, (infos[name] for name in rule.left))
            continue
        made = rule.apply(lambda name: torch.empty(infos[name].shape, dtype=infos[name].dtype, device="meta"))
        found |= {name: TensorInfo(tuple(tensor.shape), tensor.dtype) for name, tensor in made.items()}
    return found


def left_reader(tensors: TensorMap, read: Read) -> Read:
    """Gives left tensors by name, made of right ones."""
    return lambda name: tensors.by_left[name].undo(read)[name]


def some(names: list[str]) -> str:
    """The first few of many."""
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
