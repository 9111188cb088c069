"""Files of torch.save read without running them: tensors and plain values come out, of other objects nothing happens.

torch's own ``weights_only`` refuses a whole file for one foreign object, and Megatron-LM's and NeMo's hold several
(settings, enums). Here a name in the pickle resolves to what rebuilds a tensor, or to an inert record. See
docs/decisions/0022.
"""

import collections
import pickle
import types
from pathlib import Path
from typing import Any

import torch
from torch._utils import _rebuild_parameter, _rebuild_tensor_v2

from ...foundation.errors import ArtifactError

DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
KNOWN: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): collections.OrderedDict,
    ("torch", "Size"): torch.Size,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor_v2,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    **{("torch", name): getattr(torch, name) for name in DTYPES},
}


class Inert:
    """Stands for an object of any class; keeps its plain attributes and does nothing."""

    def __new__(cls, *_: Any, **__: Any) -> "Inert":
        """An empty record, whatever it is given."""
        made = object.__new__(cls)
        made.__dict__["plain"] = {}
        return made

    def __init__(self, *_: Any, **__: Any) -> None:
        """Nothing is done with arguments."""

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, dict):
            self.__dict__["plain"] = dict(state)

    def __setitem__(self, key: Any, value: Any) -> None:
        self.__dict__["plain"][key] = value

    def append(self, _: Any) -> None:
        """Drop an item of what may have been a list."""

    def extend(self, _: Any) -> None:
        """Drop items of what may have been a list."""

    def add(self, _: Any) -> None:
        """Drop an item of what may have been a set."""


class InertUnpickler(pickle.Unpickler):
    """An unpickler that knows tensors and plain values; every other name is the inert record."""

    def find_class(self, module: str, name: str) -> Any:
        """What rebuilds a tensor, or `Inert`."""
        return KNOWN.get((module, name), Inert)


PICKLE = types.ModuleType("inert_pickle")
PICKLE.__dict__.update(Unpickler=InertUnpickler, load=lambda file, **rest: InertUnpickler(file, **rest).load())


def load_inert(path: Path) -> dict[str, Any]:
    """The dict of a file of torch.save, its tensors mapped from disk. Raises ArtifactError for a file that is none."""
    try:
        loaded = torch.load(path, map_location="cpu", mmap=True, weights_only=False, pickle_module=PICKLE)
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing") from None
    except Exception as error:  # noqa: BLE001 - a damaged file may raise anything; none of it came from running it
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ArtifactError(f"{path}: damaged, or no file of torch.save ({reason})") from None
    if not isinstance(loaded, dict):
        raise ArtifactError(f"{path}: holds a {type(loaded).__name__}, a dict of tensors is expected")
    return {name: value.__dict__["plain"] if isinstance(value, Inert) else value for name, value in loaded.items()}
