"""Commands that generate text."""

from ..foundation.command import Command

COMMANDS = (
    Command(
        name="generate",
        summary="continue a text or answer a question with a model",
        settings="nemo_core.inference.settings:GenerateSettings",
        run="nemo_core.inference.command:run_generate",
        examples=(
            "nemo-core generate model=runs/sft chat='What is textwrap?'",
            "nemo-core generate model=runs/pretrain prompt='The module' temperature=0.8 count=3",
        ),
    ),
)
