"""megatron.core's own distributed checkpoints of a live model, on a GPU and on a CPU.

Loading goes through `checkpoint.foreign`, which unpickles nothing; saving is megatron.core's, whose writer needs a GPU,
so on a CPU torch's writer takes its place through the strategy that `save` accepts.
"""

from pathlib import Path
from typing import Any

import torch
from megatron.core import dist_checkpointing, parallel_state
from megatron.core.dist_checkpointing.strategies.torch import (
    MCoreSavePlanner,
    TorchDistSaveShardedStrategy,
    _replace_state_dict_keys_with_sharded_keys,
    mcore_to_pyt_state_dict,
)
from torch.distributed.checkpoint.filesystem import FileSystemWriter
from torch.distributed.checkpoint.state_dict_saver import save

from ..checkpoint.foreign.source import MegatronSource
from ..checkpoint.foreign.stacked import StackedFolder
from .model import MegatronDecoder
from .weights import held, load_weights


class CpuSaveStrategy(TorchDistSaveShardedStrategy):  # type: ignore[misc]
    """The format ``torch_dist`` through torch's writer, which runs on a CPU."""

    def save(self, sharded_state_dict: Any, checkpoint_dir: Path) -> None:
        """Write every process's shards."""
        renamed, _, _ = _replace_state_dict_keys_with_sharded_keys(sharded_state_dict, self.keep_only_main_replica)
        save(
            mcore_to_pyt_state_dict(renamed, False),
            storage_writer=FileSystemWriter(checkpoint_dir, single_file_per_rank=True, sync_files=True),
            planner=MCoreSavePlanner(dedup_replicated_tensors=False, flatten_state_dict=False),
        )


def sharded_weights(model: MegatronDecoder) -> dict[str, Any]:
    """The model's sharded state dict without the extra state of Transformer Engine, which holds no weights."""
    shared = {"dp_cp_group": parallel_state.get_data_parallel_group(with_context_parallel=True)}
    sharded = model.gpt.sharded_state_dict(metadata=shared)
    mirrors = {entry.name for entry, _ in held(model) if entry.mirror}  # the first stage saves these
    return {name: one for name, one in sharded.items() if not name.endswith("_extra_state") and name not in mirrors}


def save_distributed(model: MegatronDecoder, folder: Path) -> None:
    """Write the weights, each process its shards, into `folder`, which must be empty; all processes call this."""
    folder.mkdir(parents=True, exist_ok=True)
    strategy = None if torch.cuda.is_available() else CpuSaveStrategy("torch_dist", 1)
    dist_checkpointing.save(sharded_weights(model), str(folder), sharded_strategy=strategy)


def load_distributed(model: MegatronDecoder, folder: Path) -> None:
    """Put the weights of such a folder into a model of any degrees. Raises ArtifactError for names that do not fit."""
    source = MegatronSource(StackedFolder(folder), model.config)
    load_weights(model, source.read)
