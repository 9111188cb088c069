"""Commands that derive training rows from documents."""

from ..foundation.command import Command, Stage, StageInput
from .inputs import DOCUMENTS

COMMANDS = (
    Command(
        name="questions",
        summary="question and answer pairs derived from documents",
        settings="nemo_curator.synthesize.settings:Questions",
        run="nemo_curator.synthesize.questions:run",
        examples=("nemo-curator questions documents=documents output=questions",),
        stage=Stage(inputs={"documents": DOCUMENTS}, output="conversations", memory_gib=1),
    ),
    Command(
        name="preferences",
        summary="pairs of a good and a poor answer, for alignment",
        settings="nemo_curator.synthesize.settings:Preferences",
        run="nemo_curator.synthesize.preferences:run",
        examples=("nemo-curator preferences conversations=questions output=preferences seed=0",),
        stage=Stage(inputs={"conversations": StageInput(kinds=("conversations",))}, output="preferences", memory_gib=1),
    ),
)
