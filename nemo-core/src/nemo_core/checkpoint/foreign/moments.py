"""The state of megatron.core's optimizer in a ``torch_dist`` folder as a training state of ours, weight by weight.

Formats that keep a tensor for each weight are read: ``fully_reshardable``, ``fully_sharded_model_space`` and the plain
optimizer's. Those that keep the flat buffers of ranks name no weights. See docs/decisions/0074.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...config import ModelConfig
from ...foundation.errors import ArtifactError
from ...foundation.progress import Progress
from ...parallel.plan import ParallelPlan
from ...shapes import tensor_specs
from .. import state_store
from ..state_names import StateNames, noted_names, whole_piece
from ..state_piece import Piece
from ..state_step import write_index, write_part
from .inert import load_inert
from .source import MegatronSource
from .stacked import StackedFolder
from .torch_dist import COMMON

MAIN_WEIGHTS = ("fp32_param", "param")
MOMENTS = ("exp_avg", "exp_avg_sq")
BY_RANK = ("dp_reshardable", "dp_zero_gather_scatter", "fully_sharded_bucket_space")
PART_BYTES = 2**28
REMEDY = (
    "load it with the tool that wrote it and save it once more: Megatron-LM with --dist-ckpt-optim-fully-reshardable "
    "(before 0.14: --ckpt-fully-parallel-save), NeMo 2 with MegatronStrategy(ckpt_parallel_save_optim=True)"
)


@dataclass(frozen=True)
class ForeignState:
    """float32 weights and moments under canonical names, and how many steps made them."""

    main: MegatronSource
    moments: Mapping[str, MegatronSource]
    steps: int
    iteration: int

    def of_weight(self, name: str) -> Iterator[tuple[str, Tensor]]:
        """What the state holds of a canonical weight, by its name there."""
        yield name, self.main.read(name).float()
        for kind, source in self.moments.items():
            yield f"optim.{name}.{kind}", source.read(name).float()
        yield f"optim.{name}.step", torch.tensor(float(self.steps))

    def pieces(self, names: StateNames) -> Iterator[Piece]:
        """Everything as it goes to disk, one tensor of the model's folder after another."""
        trained = {name for name, spec in tensor_specs(names.config).items() if spec.trained}
        for rule in names.tensors.rules:
            held = [pair for name in rule.right if name in trained for pair in self.of_weight(name)]
            yield from names.written([whole_piece(name, tensor) for name, tensor in held], is_staged=False)

    def write(self, root: Path, config: ModelConfig) -> None:
        """Write the state after `iteration` into `root`, holding one part of it in memory at a time."""
        names, draft = StateNames(config), root / (state_store.step_name(self.iteration) + state_store.WRITING)
        numbers = sum(torch.Size(spec.shape).numel() for spec in tensor_specs(config).values() if spec.trained)
        count = 0
        with Progress("optimizer", total=4 * numbers * (1 + len(self.moments)), unit="B") as progress:
            for part in parts_of(self.pieces(names)):
                write_part(draft, part, rank=count)
                progress.advance(sum(piece.num_bytes for piece in part if piece.shape))
                count += 1
        facts = {"step": self.iteration, state_store.PLAN: asdict(ParallelPlan()), **noted_names(names)}
        write_index(draft, num_parts=count, facts=facts)
        state_store.publish(draft, root / state_store.step_name(self.iteration))


def parts_of(pieces: Iterator[Piece]) -> Iterator[list[Piece]]:
    """Pieces in files of about `PART_BYTES`."""
    part: list[Piece] = []
    room = PART_BYTES
    for piece in pieces:
        part.append(piece)
        room -= piece.num_bytes
        if room <= 0:
            yield part
            part, room = [], PART_BYTES
    if part:
        yield part


def read_optimizer(weights: StackedFolder, config: ModelConfig) -> ForeignState:
    """The optimizer's state beside these weights. Raises ArtifactError where there is none, or one by ranks."""
    common = load_inert(weights.folder / COMMON) if (weights.folder / COMMON).is_file() else {}
    optimizer = {name: value for name, value in common.items() if name.startswith("optimizer")}
    found = {kind: weights.moments(kind) for kind in (*MAIN_WEIGHTS, *MOMENTS)}
    moments = {kind: tensors for kind in MOMENTS if (tensors := found[kind]) is not None}
    if len(moments) < len(MOMENTS):
        raise no_moments(weights, optimizer)
    main = next((tensors for kind in MAIN_WEIGHTS if (tensors := found[kind]) is not None), None)
    steps = steps_of(optimizer, weights.folder)
    return ForeignState(
        main=MegatronSource(main or weights, config, trained=main is not None),
        moments={kind: MegatronSource(tensors, config, trained=True) for kind, tensors in moments.items()},
        steps=steps,
        iteration=int(common.get("iteration") or steps),
    )


def no_moments(weights: StackedFolder, optimizer: Mapping[str, Any]) -> ArtifactError:
    """Why no moments are read."""
    stored = any(".distributed.dp_group_idx_" in key for key in weights.reader.everything)
    named = next((value for key, value in walk(optimizer) if key == "param_state_sharding_type"), None)
    if stored or named in BY_RANK:
        kind = named or "one by ranks"
        return ArtifactError(
            f"{weights.folder}: the optimizer's state is in the format {kind}, the flat buffers of ranks, which do not "
            f"say where a weight's moments lie; {REMEDY}"
        )
    return ArtifactError(
        f"{weights.folder}: holds no moments ({', '.join(MOMENTS)}) of an Adam optimizer for each weight; leave "
        "optimizer=true out to convert the weights alone"
    )


def steps_of(optimizer: Mapping[str, Any], folder: Path) -> int:
    """How many steps the optimizer took: groups or parameters say so. ArtifactError unless they all say the same."""
    said = {int(value) for key, value in walk(optimizer) if key in ("step", "common_step") and value is not None}
    if len(said) == 1:
        return said.pop()
    problem = f"steps {sorted(said)}, which differ" if said else "no number of steps"
    raise ArtifactError(f"{folder / COMMON}: its optimizer names {problem}; save the checkpoint once more")


def walk(values: Any) -> Iterator[tuple[str, Any]]:
    """Every named plain value within dicts and lists."""
    if isinstance(values, Mapping):
        for key, value in values.items():
            if isinstance(value, (Mapping, list, tuple)):
                yield from walk(value)
            else:
                yield str(key), value
    elif isinstance(values, (list, tuple)):
        for value in values:
            yield from walk(value)
