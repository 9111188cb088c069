"""What a training state calls its tensors: as the model's Hugging Face folder does, and laid out as there.

Weights, moments (``optim.<weight>.exp_avg``) and averages (``ema.<weight>``) go the way that conversion goes. A block
of a weight that is no block of the folder's tensor (a process's part of fused queries, keys and values) stays what it
is, as ``canonical.<weight>``; so does a moment of another shape than its weight's.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor, nn

from ..config import ModelConfig
from ..families.layout import tensor_map
from ..shapes import tensor_specs
from .mapping.rules import Rule, TensorMap
from .mapping.transforms import Transpose
from .state_piece import Extent, Piece, slices, staged
from .state_step import SavedState, Whole
from .state_store import FOLDER_NAMES, NAMES

CANONICAL = "canonical."
PREFIXES = ("optim.", "ema.")


@dataclass(frozen=True)
class Spelling:
    """A name in a state, in parts: ``optim.`` + weight + ``.exp_avg``."""

    before: str
    weight: str
    after: str

    def of(self, weight: str) -> str:
        """The name of the same thing of another weight."""
        return f"{self.before}{weight}{self.after}"


def spell(name: str) -> Spelling:
    """The parts of a name."""
    before = next((prefix for prefix in PREFIXES if name.startswith(prefix)), "")
    weight = name.removeprefix(before)
    stem, _, key = weight.rpartition(".") if before == "optim." else (weight, "", "")
    return Spelling(before, stem, f".{key}" if key else "")


def names_of(model: nn.Module) -> "StateNames | None":
    """The names of a decoder's state, or of a model with a decoder as a part; None for others, which keep their own."""
    config = getattr(model, "config", None)
    if not isinstance(config, ModelConfig):
        return None
    part = next((f"{name}." for name in ("decoder", "body") if hasattr(model, name)), "")
    return StateNames(config, prefix=part)


@dataclass(frozen=True)
class StateNames:
    """Names of the tensors of a model's training state, in a run (canonical) and on disk (its folder's)."""

    config: ModelConfig
    prefix: str = ""  # of the canonical names, in a model that has the decoder as a part

    @cached_property
    def tensors(self) -> TensorMap:
        """Rules from the folder's tensors to canonical ones."""
        return tensor_map(self.config)

    @cached_property
    def shapes(self) -> Mapping[str, Extent]:
        """Shapes of the canonical weights."""
        return {name: spec.shape for name, spec in tensor_specs(self.config).items()}

    def rule(self, weight: str) -> Rule | None:
        """The rule that a weight of the run takes part in; None for an adapter's, say."""
        return self.tensors.by_right.get(weight.removeprefix(self.prefix))

    def group(self, name: str) -> str:
        """The same for all tensors that become one on disk."""
        parts = spell(name)
        rule = self.rule(parts.weight)
        return name if rule is None else parts.of(rule.left[0])

    def written(self, pieces: Iterable[Piece], *, is_staged: bool) -> Iterator[Piece]:
        """The pieces as they go to disk, in memory of their own where `is_staged`; one is made at a time."""
        groups: dict[str, list[Piece]] = {}
        for piece in pieces:
            groups.setdefault(self.group(piece.name), []).append(piece)
        for name, members in groups.items():
            rule = self.rule(spell(members[0].name).weight)
            made = None if rule is None else self.joined(rule, members)
            if made is not None:
                yield whole_piece(name, made)
                continue
            for piece in members if rule is None else [self.renamed(rule, name, piece) for piece in members]:
                yield staged(piece) if is_staged else piece

    def renamed(self, rule: Rule, name: str, piece: Piece) -> Piece:
        """A block of a weight as a block of the folder's tensor `name`, where it is one."""
        if rule.keeps_numbers:
            return Piece(name, piece.data, piece.shape, piece.offset)
        is_like_weight = piece.shape == self.shapes[spell(piece.name).weight.removeprefix(self.prefix)]
        if type(rule.transform) is not Transpose or not (is_like_weight or not piece.shape):
            return canonical(piece)
        if len(piece.shape) < 2:
            return Piece(name, piece.data, piece.shape, piece.offset)
        return Piece(name, piece.data.T, piece.shape[::-1], piece.offset[::-1])

    def joined(self, rule: Rule, members: list[Piece]) -> Tensor | None:
        """The folder's tensor in new memory, made of all that it holds; None unless these are all there, and whole."""
        if rule.keeps_numbers or type(rule.transform) is Transpose or len(rule.left) > 1:
            return None
        found = {spell(piece.name).weight.removeprefix(self.prefix): piece for piece in members}
        if found.keys() != set(rule.right):
            return None
        tensors = [found[name].data for name in rule.right]
        if all(not data.ndim for data in tensors):
            return tensors[0].clone() if all(torch.equal(data, tensors[0]) for data in tensors) else None
        if any(tuple(found[name].data.shape) != self.shapes[name] for name in rule.right):
            return None
        (whole,) = rule.transform.inverse([data.cpu() for data in tensors])
        return whole.clone() if whole.data_ptr() in {data.data_ptr() for data in tensors} else whole

    def shape_of(self, name: str) -> Extent:
        """Shape of the weight that a tensor of the run belongs to."""
        return self.shapes[spell(name).weight.removeprefix(self.prefix)]


def whole_piece(name: str, tensor: Tensor) -> Piece:
    """All of a tensor."""
    return Piece(name, tensor, tuple(tensor.shape), (0,) * tensor.ndim)


def canonical(piece: Piece) -> Piece:
    """The piece under the name that says it is not laid out as the folder's tensors are."""
    parts = spell(piece.name)
    return Piece(parts.of(CANONICAL + parts.weight), piece.data, piece.shape, piece.offset)


def to_write(pieces: list[Piece], names: StateNames | None, *, is_staged: bool) -> list[Piece]:
    """Pieces as they go to disk; with `is_staged` in memory of their own, so that training may go on."""
    if names is not None:
        return list(names.written(pieces, is_staged=is_staged))
    return [staged(piece) for piece in pieces] if is_staged else pieces


def noted_names(names: StateNames | None) -> dict[str, str]:
    """The fact that says how a state names its tensors."""
    return {} if names is None else {NAMES: FOLDER_NAMES}


def named(saved: SavedState, names: StateNames | None) -> SavedState:
    """A state under the names of the run, whichever it was saved with; without `names`, as it is on disk."""
    is_as_in_folder = saved.facts.get(NAMES) == FOLDER_NAMES
    return NamedState(saved, names) if is_as_in_folder and names is not None else saved


class NamedState(SavedState):
    """A state with the folder's names on disk, under the names of a run."""

    def __init__(self, saved: SavedState, names: StateNames) -> None:
        self.folder, self.facts, self.files = saved.folder, saved.facts, saved.files
        self.saved, self.names = saved, names
        self.places = dict(self.places_of(saved))
        self.last: tuple[str, dict[str, Tensor]] = ("", {})

    def places_of(self, names: Iterable[str]) -> Iterator[tuple[str, tuple[str, Rule | None]]]:
        """For each name of the run the name on disk, and the rule that makes it of that (None: nothing to make)."""
        for name in names:
            parts = spell(name)
            rule = self.names.tensors.by_left.get(parts.weight)
            if rule is None:
                yield parts.of(parts.weight.removeprefix(CANONICAL)), (name, None)
                continue
            shape = self.saved.describe(name).shape
            for right in rule.right:
                is_made = bool(shape) and not rule.keeps_numbers
                yield parts.of(self.names.prefix + right), (name, rule if is_made else None)

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)

    def describe(self, name: str) -> Whole:
        """Form of a tensor; ArtifactError where the state has none of that name."""
        if name not in self.places:
            return self.saved.describe(name)  # raises
        place, rule = self.places[name]
        whole = self.saved.describe(place)
        return whole if rule is None else Whole(whole.dtype, self.names.shape_of(name), ())

    def read(self, name: str, offset: Extent, shape: Extent) -> Tensor:
        """The block of `shape` that begins at `offset`; a tensor that has to be made is made whole, one at a time."""
        self.describe(name)
        place, rule = self.places[name]
        if rule is None:
            return self.saved.read(place, offset, shape)
        if self.last[0] != place:
            self.last = (place, rule.apply(lambda _: self.saved[place]))
        made = self.last[1][spell(name).weight.removeprefix(self.names.prefix)]
        return made[slices(offset, shape, origin=(0,) * len(shape))].clone()

    def verify(self, *, part: int = 0, of: int = 1) -> str | None:
        """What is wrong with every `of`-th file, beginning with `part`; None where nothing is."""
        return self.saved.verify(part=part, of=of)
