"""Commands that ask trained classifiers, and train them."""

from ..foundation.command import Command, Stage
from .filter import OWN, STAGE

COMMANDS = (
    Command(
        name="classify",
        summary="label and score documents with a local Hugging Face classifier, and keep those you want",
        settings="nemo_curator.classify.settings:ClassifyDocuments",
        run="nemo_curator.classify.command:run",
        examples=(
            "nemo-curator classify input=documents output=rated model=models/fineweb-edu-classifier family=fineweb_edu",
            "nemo-curator classify input=documents output=good model=quality-model family=quality 'keep_labels=[High]'",
        ),
        stage=Stage(inputs={"input": OWN}, output="documents", cpus=2, memory_gib=6),
    ),
    Command(
        name="fasttext",
        summary="score documents with a fastText model, and sample those like its good examples",
        settings="nemo_curator.classify.settings:ScoreWithFastText",
        run="nemo_curator.classify.command:run_fasttext",
        examples=(
            "nemo-curator fasttext input=documents output=sampled model=quality.bin label=hq",
            "nemo-curator fasttext input=documents output=best model=quality.bin keep=above min_score=0.8",
        ),
        stage=STAGE,
    ),
    Command(
        name="prepare-fasttext",
        summary="documents of one quality as training lines for fastText",
        settings="nemo_curator.classify.train_settings:PrepareFastText",
        run="nemo_curator.classify.train_command:prepare",
        examples=("nemo-curator prepare-fasttext input=wikipedia label=hq output=hq.txt samples=100000",),
    ),
    Command(
        name="train-classifier",
        summary="train a fastText classifier on such lines",
        settings="nemo_curator.classify.train_settings:TrainClassifier",
        run="nemo_curator.classify.train_command:train",
        examples=("nemo-curator train-classifier 'files=[hq.txt,cc.txt]' output=quality.bin",),
    ),
)
