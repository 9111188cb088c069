"""What the modules of a model are called in the adapter folders of its family."""

from collections.abc import Iterable, Mapping

from torch import nn

from ..checkpoint.mapping.transforms import Same, Transpose
from ..config import ModelConfig
from ..families.layout import layout_of, tensor_map
from ..foundation.errors import ConfigError


def folder_names(model: nn.Module, names: Iterable[str]) -> dict[str, str]:
    """The name in a Hugging Face folder of each module of the model, by its name here.

    Raises ConfigError for a module that the folder keeps fused with others: an adapter of it alone has no name there.
    """
    config = model.config
    assert isinstance(config, ModelConfig)
    rename, rules = layout_of(config).rename, tensor_map(config).by_right
    found: dict[str, str] = {}
    for name in names:
        rule = rules.get(f"{name}.weight")
        if rule is None:
            found[name] = rename(name)
            continue
        if len(rule.right) > 1 or (not isinstance(rule.transform, Transpose) and type(rule.transform) is not Same):
            raise ConfigError(
                f"{name}: folders of family {config.family!r} keep it in {rule.left[0]}, together with others or laid "
                "out otherwise, so an adapter folder has no name for it; choose other targets"
            )
        found[name] = rule.left[0].removesuffix(".weight")
    return found


def module_names(model: nn.Module, adapted: Iterable[str]) -> Mapping[str, str]:
    """Names here by the names in a folder; ConfigError for a folder's module that is several here."""
    config = model.config
    assert isinstance(config, ModelConfig)
    rename, rules = layout_of(config).rename, tensor_map(config).by_left
    blocks = {rename(name): name for name, module in model.named_modules() if name and [*module.children()]}
    found: dict[str, str] = {}
    for name in adapted:
        rule = rules.get(f"{name}.weight")
        if rule is not None and len(rule.right) > 1:
            parts = ", ".join(right.removesuffix(".weight").rsplit(".", 1)[-1] for right in rule.right)
            raise ConfigError(f"{name} is {parts} here; an adapter of it cannot be taken apart yet")
        found[name] = blocks.get(name, name) if rule is None else rule.right[0].removesuffix(".weight")
    return found


def exchanges_axes(model: nn.Module, name: str) -> bool:
    """Whether the family's folder holds the weight of a module as [in, out], as GPT-2's do."""
    config = model.config
    assert isinstance(config, ModelConfig)
    rule = tensor_map(config).by_right.get(f"{name}.weight")
    return rule is not None and isinstance(rule.transform, Transpose)
