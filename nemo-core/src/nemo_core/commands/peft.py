"""Commands for adapters."""

from ..foundation.command import Command, Stage, StageInput
from .inputs import MODEL

COMMANDS = (
    Command(
        name="merge",
        summary="add a LoRA, DoRA or IA3 adapter into the weights of its model",
        settings="nemo_core.peft.settings:MergeSettings",
        run="nemo_core.peft.command:run_merge",
        examples=("nemo-core merge model=runs/pretrain adapter=runs/adapter output=runs/merged",),
        stage=Stage(
            inputs={"model": MODEL, "adapter": StageInput(kinds=("adapter",), external=True)}, output="checkpoint"
        ),
    ),
    Command(
        name="unmerge",
        summary="take a merged adapter out again, bit for bit",
        settings="nemo_core.peft.settings:UnmergeSettings",
        run="nemo_core.peft.command:run_unmerge",
        examples=("nemo-core unmerge model=runs/merged output=runs/original",),
        stage=Stage(inputs={"model": MODEL}, output="checkpoint"),
    ),
)
