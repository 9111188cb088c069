"""``nemo-core diff``: how two models differ, in config and weights; families may differ, tensors are canonical."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ..foundation.command import emit
from ..foundation.errors import SuiteError
from ..foundation.progress import Progress
from ..foundation.settings import to_plain
from .folder import open_model
from .settings import DiffSettings
from .source import ModelFolder
from .tensors import dtype_name


class ModelsDiffer(SuiteError):
    """Two models are not the same; the exit code is 1, as of diff."""


@dataclass(frozen=True)
class TensorDifference:
    """How far a tensor of the second model is from the first's: largest and mean distance of a number, and the norm of
    the difference as a share of the first's norm.
    """

    name: str
    largest: float
    mean: float
    relative: float


def run(settings: DiffSettings) -> None:
    """Print the differences. Raises ModelsDiffer where there are any."""
    first, second = open_model(settings.first), open_model(settings.second)
    config = config_differences(to_plain(first.config), to_plain(second.config))
    names = [name for name in first.specs if name in second.specs]
    alone = sorted(first.specs.keys() ^ second.specs.keys())
    reshaped = [name for name in names if first.info(name).shape != second.info(name).shape]
    types = [name for name in names if first.info(name).dtype != second.info(name).dtype]
    apart = tensor_differences(first, second, [name for name in names if name not in set(reshaped)])
    apart = [difference for difference in apart if difference.largest > settings.tolerance]
    emit(
        {
            "config": config,
            "tensors": len(names),
            "only_in_first": [name for name in alone if name in first.specs][: settings.limit],
            "only_in_second": [name for name in alone if name in second.specs][: settings.limit],
            "shapes": {n: [first.info(n).shape, second.info(n).shape] for n in reshaped[: settings.limit]},
            "dtypes": sorted(
                {f"{dtype_name(first.info(n).dtype)} -> {dtype_name(second.info(n).dtype)}" for n in types}
            ),
            "different": len(apart),
            "largest": [asdict(difference) for difference in apart[: settings.limit]],
        }
    )
    found = {
        "settings": len(config),
        "tensors of one only": len(alone),
        "shapes": len(reshaped),
        "types": len(types),
        "tensors": len(apart),
    }
    if any(found.values()):
        counts = ", ".join(f"{count} {what}" for what, count in found.items() if count)
        raise ModelsDiffer(f"{settings.first} and {settings.second} differ: {counts}")


def config_differences(first: Mapping[str, Any], second: Mapping[str, Any], prefix: str = "") -> dict[str, list[Any]]:
    """Settings that are not the same, by dotted name, with both values."""
    found: dict[str, list[Any]] = {}
    for name in {**first, **second}:
        ours, theirs = first.get(name), second.get(name)
        if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
            found |= config_differences(ours, theirs, f"{prefix}{name}.")
        elif json.dumps(ours) != json.dumps(theirs):
            found[f"{prefix}{name}"] = [ours, theirs]
    return found


def tensor_differences(first: ModelFolder, second: ModelFolder, names: list[str]) -> list[TensorDifference]:
    """Tensors that are not equal number by number, largest difference first; two are in memory at a time."""
    found = []
    with Progress("diff", total=len(names), unit="tensors") as progress:
        for name in names:
            difference = tensor_difference(name, first, second)
            if difference is not None:
                found.append(difference)
            progress.advance()
    return sorted(found, key=lambda difference: -difference.largest)


def tensor_difference(name: str, first: ModelFolder, second: ModelFolder) -> TensorDifference | None:
    """The difference of one tensor; None where all numbers are equal. One that is NaN on one side is infinitely far."""
    ours, theirs = first.canonical(name), second.canonical(name)
    if torch.equal(ours, theirs.to(ours.dtype)) and torch.equal(ours.to(theirs.dtype), theirs):
        return None
    ours, theirs = ours.double(), theirs.double()
    same = (ours == theirs) | (ours.isnan() & theirs.isnan())
    distance = (ours - theirs).abs().nan_to_num(nan=torch.inf, posinf=torch.inf).masked_fill_(same, 0.0)
    if not distance.any():
        return None
    norm = float(ours.nan_to_num().norm())
    return TensorDifference(
        name=name,
        largest=float(distance.max()),
        mean=float(distance.mean()),
        relative=float(distance.norm()) / norm if norm else torch.inf,
    )
