"""From a name in a recipe to a reward function: built in, installed under ``nemo.rewards``, or ``module:function``."""

import functools
import importlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

from nemo_core.foundation.errors import ConfigError
from nemo_core.foundation.settings import did_you_mean

from .builtin import BUILT_IN
from .sample import Reward

ENTRY_POINT_GROUP = "nemo.rewards"


def find_reward(name: str, options: Mapping[str, Any]) -> Reward:
    """The reward called `name` with `options` bound.

    Raises ConfigError for an unknown name or option, with the nearest known one.
    """
    function = _import_own(name) if ":" in name else _named(name)
    _check_options(name, function, options)
    return cast(Reward, functools.partial(function, **options))


def _named(name: str) -> Callable[..., Any]:
    if name in BUILT_IN:
        return BUILT_IN[name]
    installed = {entry.name: entry for entry in entry_points(group=ENTRY_POINT_GROUP)}
    if name in installed:
        return cast(Callable[..., Any], installed[name].load())
    known = [*BUILT_IN, *installed]
    raise ConfigError(
        f"unknown reward {name!r}{did_you_mean(name, known)} (known: {', '.join(known)}; your own: module:function)"
    )


def _import_own(name: str) -> Callable[..., Any]:
    module_name, _, attribute = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"reward {name!r}: no module {error.name!r} here or among the installed packages; run from its folder"
        ) from None
    function = getattr(module, attribute, None)
    if not callable(function):
        names = [n for n, value in vars(module).items() if inspect.isfunction(value)]
        raise ConfigError(
            f"reward {name!r}: {module_name} has no function {attribute!r}{did_you_mean(attribute, names)}"
        )
    return cast(Callable[..., Any], function)


def _check_options(name: str, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    parameters = list(inspect.signature(function).parameters.values())[1:]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    known = [p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)]
    for option in options:
        if option not in known and not takes_any:
            raise ConfigError(
                f"reward {name!r}: unknown option {option!r}{did_you_mean(option, known)} "
                f"(it takes: {', '.join(known) or 'none'})"
            )
    missing = [p.name for p in parameters if p.name in known and p.default is p.empty and p.name not in options]
    if missing:
        raise ConfigError(f"reward {name!r}: needs the option {missing[0]!r}; write options: {{{missing[0]}: ...}}")
    _check_pattern(name, options)


def _check_pattern(name: str, options: Mapping[str, Any]) -> None:
    if name == "regex":
        try:
            re.compile(options["pattern"])
        except (re.error, TypeError) as error:
            raise ConfigError(f"reward 'regex': {options['pattern']!r} is no pattern ({error})") from None
