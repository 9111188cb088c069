"""Commands that look at and convert model folders."""

from ..foundation.command import Command

COMMANDS = (
    Command(
        name="inspect",
        summary="show what a model folder holds",
        settings="nemo_core.inference.settings:InspectSettings",
        run="nemo_core.inference.command:run_inspect",
        examples=("nemo-core inspect runs/sft",),
        positional="model",
    ),
)
