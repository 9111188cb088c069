"""The index of a torch distributed checkpoint, which torch writes as a pickle, read without running anything in it.

A pickle may name any function to call. Here only the names below resolve: the plain records an index consists of. See
docs/decisions/0022.
"""

import importlib
import pickle
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch.distributed.checkpoint.metadata import Metadata

from ...foundation.errors import ArtifactError

CHECKPOINT = "torch.distributed.checkpoint"
RECORDS = {
    f"{CHECKPOINT}.metadata": {
        "Metadata",
        "MetadataIndex",
        "TensorStorageMetadata",
        "BytesStorageMetadata",
        "ChunkStorageMetadata",
        "TensorProperties",
        "StorageMeta",
        "_MEM_FORMAT_ENCODING",
    },
    f"{CHECKPOINT}.filesystem": {"_StorageInfo"},
    f"{CHECKPOINT}.planner": {"SavePlan", "WriteItem", "WriteItemType", "TensorWriteData"},
    "torch": {
        "Size",
        *("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"),
        *("int64", "int32", "int16", "int8", "uint8", "bool"),
    },
    "torch.serialization": {"_get_layout"},
    "collections": {"OrderedDict"},
    "builtins": {"set", "frozenset", "slice"},
    "pathlib": {"PosixPath", "PurePosixPath"},
    "pathlib._local": {"PosixPath", "PurePosixPath"},
}


@dataclass
class FlattenedIndex(Metadata):
    """megatron.core's own index: `mcore_data` has, by tensor, the shape it had before it was stored in flat pieces."""

    mcore_data: dict[str, dict[str, Any]] = field(default_factory=dict)


OWN = {("megatron.core.dist_checkpointing.strategies.torch", "MCoreMetadata"): FlattenedIndex}


class IndexUnpickler(pickle.Unpickler):
    """An unpickler that knows the names of `RECORDS` and of `OWN`, and no others."""

    def find_class(self, module: str, name: str) -> Any:
        """The record of that name. Raises UnpicklingError for everything else."""
        if (module, name) in OWN:
            return OWN[module, name]
        if name not in RECORDS.get(module, ()):
            raise pickle.UnpicklingError(f"it names {module}.{name}, which no index of tensors needs")
        return getattr(importlib.import_module(module.removesuffix("._local")), name)


def read_index(path: Path) -> Any:
    """The `Metadata` of a torch distributed checkpoint. Raises ArtifactError for anything that is none."""
    try:
        with open(path, "rb") as file:
            index = IndexUnpickler(file).load()
    except FileNotFoundError:
        raise ArtifactError(f"{path}: missing, so {path.parent} is no torch distributed checkpoint") from None
    except Exception as error:  # noqa: BLE001 - a damaged pickle may raise anything; none of it came from running code
        raise ArtifactError(f"{path}: not read: {error}") from None
    if not isinstance(getattr(index, "state_dict_metadata", None), dict):
        raise ArtifactError(f"{path}: holds a {type(index).__name__}, not the index of a checkpoint")
    return index
