"""What the modules of a model are called in the adapter folders of its family."""

from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn

from ..checkpoint.mapping.rules import Rule
from ..checkpoint.mapping.transforms import Chain, Same, Transform, Transpose
from ..config import ModelConfig
from ..families.layout import layout_of, tensor_map
from ..foundation.errors import ConfigError

MARKS = (".lora_", ".ia3_l", ".adapter.")


@dataclass(frozen=True)
class Kept:
    """How a folder keeps linear layers: as its one module `name`, whose output `rows` are those of `parts` here."""

    name: str
    parts: tuple[str, ...]
    rows: Transform
    exchanges_axes: bool

    @property
    def is_alone(self) -> bool:
        """Whether it is one module here, too, with the same rows in the same order."""
        return len(self.parts) == 1 and type(self.rows) is Same


def kept_by_part(model: nn.Module) -> dict[str, Kept]:
    """How the folder of the family keeps each module of the model that has a weight, by its name here."""
    return {part: kept for kept in kept_by_folder(model).values() for part in kept.parts}


def kept_by_folder(model: nn.Module) -> dict[str, Kept]:
    """The same, by the folder's name."""
    config = model.config
    assert isinstance(config, ModelConfig)
    found = (kept_as(rule) for rule in tensor_map(config).rules if rule.left[0].endswith(".weight"))
    return {kept.name: kept for kept in found}


def kept_as(rule: Rule) -> Kept:
    """What a rule between weights says of the modules."""
    steps = rule.transform.steps if isinstance(rule.transform, Chain) else (rule.transform,)
    rows = [step for step in steps if not isinstance(step, Transpose)]
    return Kept(
        name=rule.left[0].removesuffix(".weight"),
        parts=tuple(name.removesuffix(".weight") for name in rule.right),
        rows=Chain(tuple(rows)) if len(rows) > 1 else (rows[0] if rows else Same()),
        exchanges_axes=len(rows) < len(steps),
    )


def module_of(key: str) -> str:
    """The module that a tensor of an adapter folder belongs to."""
    marks = [key.index(mark) for mark in MARKS if mark in key]
    return key[: min(marks)] if marks else key.rpartition(".")[0]


def folder_names(model: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """The name in a Hugging Face folder of each module of the model, by its name here; several may share one."""
    config = model.config
    assert isinstance(config, ModelConfig)
    rename, kept = layout_of(config).rename, kept_by_part(model)
    return {name: kept[name].name if name in kept else rename(name) for name in names}


def check_alone(model: nn.Module, names: Iterable[str]) -> None:
    """Raise ConfigError for a module that the folder keeps fused with others: a copy of it alone has no name there."""
    kept, config = kept_by_part(model), model.config
    assert isinstance(config, ModelConfig)
    for name in names:
        if name in kept and not kept[name].is_alone:
            raise ConfigError(
                f"modules_to_save={name}: folders of family {config.family!r} keep it in "
                f"{kept[name].name}, together with others or laid out otherwise, so an adapter folder has no name for "
                "it; make it a target instead, or train with method=full"
            )


def block_names(model: nn.Module) -> dict[str, str]:
    """Names here of the modules made of modules, by their names in a folder."""
    config = model.config
    assert isinstance(config, ModelConfig)
    rename = layout_of(config).rename
    return {rename(name): name for name, module in model.named_modules() if name and [*module.children()]}


def exchange_axes(model: nn.Module, names: Iterable[str]) -> bool:
    """Whether the family's folder holds the weights of these modules as [in, out], as GPT-2's do."""
    kept = kept_by_part(model)
    return any(name in kept and kept[name].exchanges_axes for name in names)
