"""Commands that measure a model."""

from dataclasses import replace

from ..foundation.command import Command, Stage, StageInput
from .inputs import CONVERSATIONS, MODEL

COMMANDS = (
    Command(
        name="evaluate",
        summary="measure a model on held-out documents and conversations",
        settings="nemo_core.train.settings:EvaluateSettings",
        run="nemo_core.train.evaluate:run",
        examples=(
            "nemo-core evaluate model=runs/chat tokens=runs/tokens conversations=runs/questions output=runs/eval",
        ),
        stage=Stage(
            inputs={
                "model": MODEL,
                "tokens": StageInput(kinds=("tokens",), required=False),
                "conversations": replace(CONVERSATIONS, required=False),
            },
            output="evaluation",
            cpus=2,
        ),
    ),
    Command(
        name="verify",
        summary="compare what native, megatron and transformers compute of a model, layer by layer",
        settings="nemo_core.verify.settings:VerifySettings",
        run="nemo_core.verify.command:run",
        examples=("nemo-core verify runs/model", "nemo-core verify runs/model 'against=[transformers]' length=256"),
        positional="model",
    ),
)
