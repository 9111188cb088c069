"""How a family's folder names and lays out the canonical tensors; a family's ``weights.py`` gives one `Layout`."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..checkpoint.mapping.rules import Rule, TensorMap
from ..checkpoint.mapping.transforms import Chain, Same, Transform
from ..config import ModelConfig
from ..shapes import tensor_specs
from . import family_part, package_of


@dataclass(frozen=True)
class Fused:
    """Canonical modules `parts` that a folder keeps as the one module `into`; `transform` takes that apart."""

    parts: tuple[str, ...]
    into: str
    transform: Transform


@dataclass(frozen=True, kw_only=True)
class Layout:
    """`names` are parts of canonical names and what a folder has in their place: longest first, each place once.

    `transforms` are by canonical module (``"self_attn.o_proj"``; a fused one by its `into`) and turn a folder's tensor
    into the canonical one. `ignored` are patterns of names that are no weights of the decoder. `prefix` is what names
    lack in folders saved without their output head.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    fused: Sequence[Fused] = ()
    transforms: Mapping[str, Transform] = field(default_factory=dict)
    ignored: tuple[str, ...] = (r"rotary_emb\.inv_freq$",)
    prefix: str = "model."

    def rename(self, canonical: str) -> str:
        """What the folder calls a canonical tensor."""
        if not self.names:
            return canonical
        longest_first = "|".join(re.escape(name) for name in sorted(self.names, key=len, reverse=True))
        return re.sub(rf"(?<![^.])(?:{longest_first})(?![^.])", lambda found: self.names[found[0]], canonical)

    def transform_of(self, module: str) -> Transform:
        """The transform of a module, named without its layer."""
        return next((found for name, found in self.transforms.items() if module.endswith(name)), Same())

    def tensor_map(self, config: ModelConfig) -> TensorMap:
        """Rules for every tensor of a model, in its order."""
        names = list(tensor_specs(config))
        present = set(names)
        rules: list[Rule] = []
        taken: set[str] = set()
        for name in names:
            if name in taken:
                continue
            rule = self.rule(name, present)
            taken.update(rule.right)
            rules.append(rule)
        return TensorMap(tuple(rules), self.ignored)

    def rule(self, name: str, present: set[str]) -> Rule:
        """The rule that makes the canonical tensor `name`, and those fused with it."""
        module, ending = name.rsplit(".", 1)
        for fused in self.fused:
            part = next((part for part in fused.parts if module.endswith(part)), None)
            if part is not None:
                stem = module.removesuffix(part)
                right = tuple(f"{stem}{one}.{ending}" for one in fused.parts)
                if present.issuperset(right):
                    first = self.transform_of(fused.into)
                    steps = fused.transform if type(first) is Same else Chain((first, fused.transform))
                    return Rule((self.rename(f"{stem}{fused.into}.{ending}"),), right, steps)
        return Rule((self.rename(name),), (name,), self.transform_of(module))


def layout_of(config: ModelConfig) -> Layout:
    """How folders of the config's family name and lay out tensors."""
    layout: Layout = family_part(package_of(config.family)[1], "weights").layout(config)
    return layout


def tensor_map(config: ModelConfig) -> TensorMap:
    """Rules from a folder's tensors (left) to the canonical ones (right)."""
    return layout_of(config).tensor_map(config)
