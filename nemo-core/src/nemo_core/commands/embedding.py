"""Commands that make vectors of texts."""

from ..foundation.command import Command, Stage, StageInput
from .inputs import MODEL

COMMANDS = (
    Command(
        name="embed",
        summary="turn texts into unit vectors",
        settings="nemo_core.embedding.settings:EmbedSettings",
        run="nemo_core.embedding.command:run_embed",
        examples=("nemo-core embed model=runs/embedding texts=texts.jsonl output=vectors.npy",),
    ),
    Command(
        name="train-embedding",
        summary="teach a model to put texts that belong together close to each other",
        settings="nemo_core.embedding.settings:TrainEmbeddingSettings",
        run="nemo_core.embedding.command:run_train",
        examples=("nemo-core train-embedding model=bert-folder pairs=pairs.jsonl output=runs/embedding",),
        stage=Stage(
            inputs={"model": MODEL, "pairs": StageInput(kinds=("conversations",), external=True)},
            output="checkpoint",
            cpus=2,
            memory_gib=4,
        ),
    ),
)
