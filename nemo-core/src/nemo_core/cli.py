"""Console script ``nemo-core``: the list of its commands."""

from collections.abc import Sequence
from dataclasses import replace

from .foundation.command import WAIT_PASSIVELY, Command, Program, Stage, StageInput
from .foundation.command import main as run_program

DOCUMENTS = StageInput(kinds=("documents",), external=True)
CONVERSATIONS = StageInput(kinds=("conversations",), external=True)
MODEL = StageInput(kinds=("checkpoint", "exported"), external=True)

PROGRAM = Program(
    package="nemo-core",
    summary="Language models on a laptop CPU or a cluster: definitions, checkpoints, training, PEFT and generation.",
    commands=(
        Command(
            name="tokenizer",
            summary="learn a byte-level BPE tokenizer from documents",
            settings="nemo_core.tokenizer.settings:TokenizerSettings",
            run="nemo_core.tokenizer.train:run",
            examples=("nemo-core tokenizer documents=runs/documents vocab_size=4096 output=runs/tokenizer",),
            stage=Stage(inputs={"documents": DOCUMENTS}, output="tokenizer", cpus=2),
        ),
        Command(
            name="tokenize",
            summary="turn documents into an indexed dataset of token ids (Megatron .bin/.idx)",
            settings="nemo_core.data.settings:TokenizeSettings",
            run="nemo_core.data.tokenize:run",
            examples=(
                "nemo-core tokenize documents=runs/documents tokenizer=runs/tokenizer output=runs/tokens",
                "nemo-core tokenize documents=my.jsonl text_field=body tokenizer=gpt2-folder output=runs/tokens",
            ),
            stage=Stage(
                inputs={"documents": DOCUMENTS, "tokenizer": StageInput(kinds=("tokenizer",), external=True)},
                output="tokens",
                cpus=2,
            ),
        ),
        Command(
            name="pretrain",
            summary="train a language model from scratch on a tokens artifact",
            settings="nemo_core.train.settings:PretrainSettings",
            run="nemo_core.train.pretrain:run",
            examples=(
                "nemo-core pretrain tokens=runs/tokens size=nano steps=300 output=runs/model",
                "torchrun --nproc-per-node 2 -m nemo_core pretrain tokens=runs/tokens output=runs/model",
            ),
            stage=Stage(inputs={"tokens": StageInput(kinds=("tokens",))}, output="checkpoint", cpus=2, memory_gib=4),
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
            stage=Stage(
                inputs={"model": MODEL, "conversations": CONVERSATIONS}, output="checkpoint", cpus=2, memory_gib=4
            ),
        ),
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
            name="generate",
            summary="continue a text or answer a question with a model",
            settings="nemo_core.inference.settings:GenerateSettings",
            run="nemo_core.inference.command:run_generate",
            examples=(
                "nemo-core generate model=runs/sft chat='What is textwrap?'",
                "nemo-core generate model=runs/pretrain prompt='The module' temperature=0.8 count=3",
            ),
        ),
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
        Command(
            name="inspect",
            summary="show what a model folder holds",
            settings="nemo_core.inference.settings:InspectSettings",
            run="nemo_core.inference.command:run_inspect",
            examples=("nemo-core inspect runs/sft",),
            positional="model",
        ),
    ),
    environment=WAIT_PASSIVELY,
)


def main(words: Sequence[str] | None = None) -> int:
    """Run the command line `words` (default: this process's) and return its exit code."""
    return run_program(PROGRAM, words)
