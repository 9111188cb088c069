"""Scores of the user's own: a function from texts to numbers, found by entry point or by module:function."""

from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..foundation.errors import ConfigError, InputError
from ..foundation.settings import did_you_mean
from .scores.registry import texts_of

GROUP = "nemo_curator.scores"
ScoreFunction = Callable[[list[str]], Sequence[float]]


def score_function(name: str) -> Callable[[pa.Table], npt.NDArray[np.float64]]:
    """The score called `name` as a function of a batch of documents. Raises ConfigError where there is none."""
    function = find(name)

    def scores(documents: pa.Table) -> npt.NDArray[np.float64]:
        try:
            found = np.asarray(function(texts_of(documents)), np.float64)
        except Exception as error:
            raise InputError(f"custom: {name} failed on a batch of {documents.num_rows} texts: {error!r}") from error
        if found.shape != (documents.num_rows,):
            raise InputError(f"{name}: gave {found.shape} numbers for {documents.num_rows} texts; give one for each")
        return found

    return scores


def find(name: str) -> ScoreFunction:
    """The function behind a name: an entry point of the group nemo_curator.scores, or module:function."""
    if ":" not in name:
        known = {entry.name: entry for entry in entry_points(group=GROUP)}
        if name not in known:
            raise ConfigError(
                f"custom: no score {name!r} is installed{did_you_mean(name, known)} (installed: "
                f"{', '.join(known) or 'none'}); name a function as module:function"
            )
        function: Any = known[name].load()
        return checked(function, name)
    module, _, attribute = name.partition(":")
    try:
        return checked(getattr(import_module(module), attribute), name)
    except (ModuleNotFoundError, AttributeError) as error:
        raise ConfigError(f"custom: {name!r} cannot be found ({error})") from None


def checked(function: Any, name: str) -> ScoreFunction:
    """`function`, which has to be one."""
    if not callable(function):
        raise ConfigError(f"custom: {name!r} is no function but {type(function).__name__}")
    return function  # type: ignore[no-any-return]
