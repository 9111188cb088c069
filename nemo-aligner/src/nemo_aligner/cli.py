"""Console script ``nemo-aligner``: the list of its commands."""

from collections.abc import Sequence

from nemo_core.foundation.command import WAIT_PASSIVELY, Command, Program, Stage, StageInput
from nemo_core.foundation.command import main as run_program

DPO = Command(
    name="dpo",
    summary="align a model with pairs of a better and a worse answer (DPO, cDPO, IPO)",
    settings="nemo_aligner.settings.dpo:DpoSettings",
    run="nemo_aligner.loops.align:dpo",
    examples=("nemo-aligner dpo model=runs/sft preferences=runs/preferences output=runs/dpo",),
    stage=Stage(
        inputs={
            "model": StageInput(kinds=("checkpoint",)),
            "preferences": StageInput(kinds=("preferences",), external=True),
        },
        output="checkpoint",
        cpus=2,
    ),
)
GRPO = Command(
    name="grpo",
    summary="align a model with rewards for its own answers (GRPO)",
    settings="nemo_aligner.settings.grpo:GrpoSettings",
    run="nemo_aligner.loops.align:grpo",
    examples=(
        "nemo-aligner grpo model=runs/dpo conversations=runs/questions output=runs/grpo rewards='[{use: concise}]'",
        "nemo-aligner grpo recipe.yaml cluster=ray",
    ),
    stage=Stage(
        inputs={
            "model": StageInput(kinds=("checkpoint",)),
            "conversations": StageInput(kinds=("conversations",), external=True),
        },
        output="checkpoint",
        cpus=2,
    ),
)
EVALUATE = Command(
    name="evaluate",
    summary="measure models side by side on the same held-out questions, pairs and text",
    settings="nemo_aligner.settings.evaluate:EvaluateSettings",
    run="nemo_aligner.evaluation.run:run",
    examples=(
        "nemo-aligner evaluate models='{sft: runs/sft, dpo: runs/dpo}' conversations=runs/questions output=runs/eval",
    ),
    stage=Stage(
        inputs={
            "models": StageInput(kinds=("checkpoint",)),
            "conversations": StageInput(kinds=("conversations",), external=True),
            "preferences": StageInput(kinds=("preferences",), required=False, external=True),
            "tokens": StageInput(kinds=("tokens",), required=False),
        },
        output="evaluation",
        cpus=2,
    ),
)
SELFTEST = Command(
    name="selftest",
    summary="show that DPO and GRPO learn on this machine, on toy tasks whose answer is known",
    settings="nemo_aligner.selftest.settings:SelftestSettings",
    run="nemo_aligner.selftest.run:run",
    examples=("nemo-aligner selftest",),
)

PROGRAM = Program(
    package="nemo-aligner",
    summary="DPO, GRPO and other alignment of language models, in one process or on Ray.",
    commands=(DPO, GRPO, EVALUATE, SELFTEST),
    environment=WAIT_PASSIVELY,
)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line `words` (default: this process's) and return its exit code."""
    return run_program(PROGRAM, words)
