"""How a megatron model is spread over processes."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Degrees:
    """Numbers of processes that share tensors, layers, sequences and experts; the rest share the data."""

    tensor: int = 1
    pipeline: int = 1
    context: int = 1
    expert: int = 1
    stages_per_process: int = 1
    sequence_parallel: bool = False


ALONE = Degrees()
