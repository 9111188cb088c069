"""The commands ``dpo`` and ``grpo``: check the inputs, run the loop, write the checkpoint artifact."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_core.checkpoint.folder import check_folder, copy_tokenizer, load_config
from nemo_core.foundation import artifact
from nemo_core.foundation.settings import to_plain

from ..runtime.group import Cluster, Plan, open_cluster
from ..settings.dpo import DpoSettings
from ..settings.grpo import GrpoSettings
from ..settings.training import Training
from . import offline, online
from .course import Figures


@dataclass(frozen=True, kw_only=True)
class AlignmentResult:
    """What an alignment command prints."""

    output: Path
    steps: int
    before: Figures
    after: Figures
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Work:
    """An algorithm, bound to its data: what the generic command needs of it."""

    objective: str
    inputs: Mapping[str, Path]
    steps: int
    plan: Plan
    align: Callable[[Path, Cluster], Mapping[str, Any]]


def dpo(settings: DpoSettings) -> AlignmentResult:
    """Align ``settings.model`` with preference pairs and write a checkpoint artifact."""
    check_folder(settings.model)
    data = offline.load_pairs(settings)
    work = Work(
        objective="dpo",
        inputs={"model": settings.model, "preferences": settings.preferences},
        steps=offline.num_steps(settings, data),
        plan=offline.plan(settings, data),
        align=lambda folder, cluster: offline.align(settings, data, folder, cluster),
    )
    return carry_out(settings, work)


def grpo(settings: GrpoSettings) -> AlignmentResult:
    """Align ``settings.model`` with rewards for its own answers and write a checkpoint artifact."""
    check_folder(settings.model)
    data = online.load_prompts(settings)
    work = Work(
        objective="grpo",
        inputs={"model": settings.model, "conversations": settings.conversations},
        steps=settings.steps,
        plan=online.plan(settings),
        align=lambda folder, cluster: online.align(settings, data, folder, cluster),
    )
    return carry_out(settings, work)


def carry_out(settings: Training, work: Work) -> AlignmentResult:
    """Run `work` on its cluster inside an artifact; a killed run continues in the same partial folder."""
    started = time.monotonic()
    draft_of = artifact.create(
        settings.output,
        kind="checkpoint",
        package="nemo-aligner",
        config=to_plain(settings),
        inputs=work.inputs,
        overwrite=settings.overwrite,
    )
    with draft_of as draft, open_cluster(settings.cluster, work.plan) as cluster:
        stats = work.align(draft.path, cluster)
        copy_tokenizer(settings.model, draft.path)
        seconds = round(time.monotonic() - started, 3)
        parameters = load_config(settings.model).num_parameters
        draft.stats |= {"objective": work.objective, "steps": work.steps, "parameters": parameters, "seconds": seconds}
        draft.stats |= stats
    return AlignmentResult(
        output=settings.output, steps=work.steps, before=stats["before"], after=stats["after"], seconds=seconds
    )
