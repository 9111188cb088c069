"""Commands that train."""

from ..foundation.command import Command, Stage, StageInput
from .inputs import CONVERSATIONS, MODEL

COMMANDS = (
    Command(
        name="pretrain",
        summary="train a language model from scratch on a tokens artifact",
        settings="nemo_core.train.settings:PretrainSettings",
        run="nemo_core.train.pretrain:run",
        examples=(
            "nemo-core pretrain tokens=runs/tokens size=nano steps=300 output=runs/model",
            "nemo-core pretrain tokens=runs/tokens continue_from=runs/model output=runs/more",
            "torchrun --nproc-per-node 2 -m nemo_core pretrain tokens=runs/tokens output=runs/model",
        ),
        stage=Stage(inputs={"tokens": StageInput(kinds=("tokens",))}, output="checkpoint", cpus=2, memory_gib=4),
    ),
    Command(
        name="recipe",
        summary="print how a published size was pretrained, as settings to keep and change",
        settings="nemo_core.train.recipes:RecipeSettings",
        run="nemo_core.train.recipes:run",
        examples=("nemo-core recipe llama3-8b > llama3-8b.yaml",),
        positional="size",
    ),
    Command(
        name="distill",
        summary="pretrain a student on the distributions of a teacher",
        settings="nemo_core.distill.settings:DistillSettings",
        run="nemo_core.distill.command:run",
        examples=(
            "nemo-core distill teacher=runs/large continue_from=runs/pruned tokens=runs/tokens output=runs/small",
        ),
        stage=Stage(
            inputs={"teacher": MODEL, "tokens": StageInput(kinds=("tokens",))},
            output="checkpoint",
            cpus=2,
            memory_gib=4,
        ),
    ),
    Command(
        name="prune",
        summary="cut a smaller model out of the parts of a larger one that matter most",
        settings="nemo_core.prune.settings:PruneSettings",
        run="nemo_core.prune.command:run",
        examples=("nemo-core prune model=runs/large tokens=runs/tokens num_layers=6 ffn_size=512 output=runs/pruned",),
        stage=Stage(
            inputs={"model": MODEL, "tokens": StageInput(kinds=("tokens",))}, output="checkpoint", memory_gib=4
        ),
    ),
    Command(
        name="train-classifier",
        summary="teach a language model the classes of texts",
        settings="nemo_core.scoring.settings:TrainClassifierSettings",
        run="nemo_core.scoring.command:run_classifier",
        examples=(
            "nemo-core train-classifier model=runs/model texts=reviews.jsonl output=runs/classifier",
            "nemo-core train-classifier model=runs/model texts=stars.jsonl method=lora label=stars output=runs/stars",
        ),
        stage=Stage(
            inputs={"model": MODEL, "texts": StageInput(kinds=(), external=True)},
            output="checkpoint",
            cpus=2,
            memory_gib=4,
        ),
    ),
    Command(
        name="train-reward",
        summary="teach a language model to score answers as people prefer them",
        settings="nemo_core.scoring.settings:TrainRewardSettings",
        run="nemo_core.scoring.command:run_reward",
        examples=("nemo-core train-reward model=runs/chat preferences=runs/preferences output=runs/reward",),
        stage=Stage(
            inputs={"model": MODEL, "preferences": StageInput(kinds=("preferences",), external=True)},
            output="checkpoint",
            cpus=2,
            memory_gib=4,
        ),
    ),
    Command(
        name="classify",
        summary="write what a classifier or a reward model says of texts",
        settings="nemo_core.scoring.settings:ClassifySettings",
        run="nemo_core.scoring.classify:run",
        examples=(
            "nemo-core classify model=runs/classifier texts=runs/documents output=labels.parquet",
            "nemo-core classify model=runs/reward texts=chats.jsonl output=rewards.jsonl",
        ),
    ),
    Command(
        name="sft",
        summary="fine-tune a model on conversations; only answers are learnt",
        settings="nemo_core.train.settings:SftSettings",
        run="nemo_core.train.sft:run",
        examples=(
            "nemo-core sft model=runs/model conversations=runs/questions output=runs/chat",
            "nemo-core sft model=runs/model conversations=my.jsonl method=lora lora.rank=8 output=runs/chat",
        ),
        stage=Stage(inputs={"model": MODEL, "conversations": CONVERSATIONS}, output="checkpoint", cpus=2, memory_gib=4),
    ),
)
