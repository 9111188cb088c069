"""Commands that derive training rows from documents."""

from ..foundation.command import Command, Stage, StageInput
from .filter import OWN
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
    Command(
        name="generate",
        summary="prompts, answers and preference pairs written by a model behind an OpenAI-compatible endpoint",
        settings="nemo_curator.synthesize.generate_settings:Generate",
        run="nemo_curator.synthesize.generate:run",
        examples=(
            "nemo-curator generate output=made endpoint.base_url=http://127.0.0.1:8000/v1 endpoint.model=mine "
            "'kinds=[open-qa,math]'",
            "nemo-curator generate recipe.yaml form=preferences candidates=4 reward.function=mine:score output=pairs",
        ),
        stage=Stage(
            inputs={"documents": StageInput(kinds=("documents",), required=False)}, output="{form}", memory_gib=1
        ),
    ),
    Command(
        name="rewrite",
        summary="documents written anew by such a model: as an encyclopedia, as questions, distilled, as knowledge",
        settings="nemo_curator.synthesize.generate_settings:Rewrite",
        run="nemo_curator.synthesize.rewrite:run",
        examples=(
            "nemo-curator rewrite input=documents output=rewritten 'styles=[wikipedia,diverse-qa]' "
            "endpoint.base_url=http://127.0.0.1:8000/v1 endpoint.model=mine",
        ),
        stage=Stage(inputs={"input": OWN}, output="documents", memory_gib=1),
    ),
)
