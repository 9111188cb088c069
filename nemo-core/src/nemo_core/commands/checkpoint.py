"""Commands that look at and convert model folders."""

from ..foundation.command import Command, Stage
from .inputs import MODEL

COMMANDS = (
    Command(
        name="inspect",
        summary="show what a model, an adapter, a training state or another artifact holds, and whether it is whole",
        settings="nemo_core.checkpoint.settings:InspectSettings",
        run="nemo_core.checkpoint.describe:run",
        examples=(
            "nemo-core inspect runs/sft",
            "nemo-core inspect runs/sft/adapter",
            "nemo-core inspect runs/long.partial/state/step-000100",
        ),
        positional="model",
    ),
    Command(
        name="convert",
        summary="write a model in another layout, type or file size",
        settings="nemo_core.checkpoint.settings:ConvertSettings",
        run="nemo_core.checkpoint.convert:run",
        examples=(
            "nemo-core convert model=runs/sft dtype=bfloat16 output=runs/small",
            "nemo-core convert model=downloads/mistral family=llama max_shard_gib=2 output=runs/llama",
            "nemo-core convert model=runs/sft format=megatron output=runs/megatron",
            "nemo-core convert model=runs/megatron output=runs/back",
        ),
        stage=Stage(inputs={"model": MODEL}, output="checkpoint"),
    ),
    Command(
        name="diff",
        summary="compare two models: settings, shapes, and weights with the largest difference first",
        settings="nemo_core.checkpoint.settings:DiffSettings",
        run="nemo_core.checkpoint.compare:run",
        examples=("nemo-core diff first=runs/pretrain second=runs/sft",),
    ),
)
