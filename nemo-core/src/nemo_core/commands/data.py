"""Commands that make tokenizers and datasets."""

from ..foundation.command import Command, Stage, StageInput
from .inputs import DOCUMENTS

COMMANDS = (
    Command(
        name="tokenizer",
        summary="learn a byte-level BPE tokenizer from documents",
        settings="nemo_core.tokenizer.settings:TokenizerSettings",
        run="nemo_core.tokenizer.train:run",
        examples=("nemo-core tokenizer documents=runs/documents vocab_size=4096 output=runs/tokenizer",),
        stage=Stage(inputs={"documents": DOCUMENTS}, output="tokenizer", cpus=2),
    ),
    Command(
        name="import-tokenizer",
        summary="turn a SentencePiece model into a tokenizer.json that gives the same ids",
        settings="nemo_core.tokenizer.settings:ImportTokenizerSettings",
        run="nemo_core.tokenizer.importing:run",
        examples=("nemo-core import-tokenizer model=tokenizer.model output=runs/tokenizer",),
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
        name="preview",
        summary="show conversations as a model will see them, and what it learns of them",
        settings="nemo_core.data.preview:PreviewSettings",
        run="nemo_core.data.preview:run",
        examples=("nemo-core preview model=runs/model conversations=mine.jsonl count=1",),
    ),
)
