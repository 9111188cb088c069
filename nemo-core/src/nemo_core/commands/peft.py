"""Commands for adapters."""

from ..foundation.command import Command, Stage, StageInput

COMMANDS = (
    Command(
        name="merge",
        summary="add a LoRA adapter into the weights of its model",
        settings="nemo_core.inference.settings:MergeSettings",
        run="nemo_core.inference.command:run_merge",
        examples=("nemo-core merge model=runs/pretrain adapter=runs/adapter output=runs/merged",),
        stage=Stage(
            inputs={
                "model": StageInput(kinds=("checkpoint", "exported"), external=True),
                "adapter": StageInput(kinds=("adapter",), external=True),
            },
            output="checkpoint",
        ),
    ),
)
