"""Commands that put documents in another order, proportion or grouping."""

from ..foundation.command import Command, Stage
from .filter import OWN

STAGE = Stage(inputs={"input": OWN}, output="documents", cpus=1, memory_gib=2)
COMMANDS = (
    Command(
        name="blend",
        summary="mix the documents of several inputs in exact proportions",
        settings="nemo_curator.arrange.settings:Blend",
        run="nemo_curator.arrange.blend:blend",
        examples=(
            "nemo-curator blend 'inputs=[web,books]' 'weights=[0.7,0.3]' output=mixed",
            "nemo-curator blend 'inputs=[a,b]' 'weights=[0.7,0.3]' by=tokens tokenizer=model tokens=1000 output=mixed",
        ),
    ),
    Command(
        name="shuffle",
        summary="put documents in an order that seed and ids decide, in bounded memory",
        settings="nemo_curator.arrange.settings:Shuffle",
        run="nemo_curator.arrange.passes:shuffle",
        examples=("nemo-curator shuffle input=documents output=shuffled seed=1",),
        stage=STAGE,
    ),
    Command(
        name="shard",
        summary="write documents into files of another size",
        settings="nemo_curator.arrange.settings:Shard",
        run="nemo_curator.arrange.passes:shard",
        examples=("nemo-curator shard input=documents output=sharded rows_per_file=null bytes_per_file=256000000",),
        stage=STAGE,
    ),
    Command(
        name="separate",
        summary="write an artifact for each value of a column",
        settings="nemo_curator.arrange.settings:Separate",
        run="nemo_curator.arrange.separate:separate",
        examples=("nemo-curator separate input=documents output=by-language by=language",),
    ),
    Command(
        name="add-id",
        summary="give documents ids of your own making",
        settings="nemo_curator.arrange.settings:AddId",
        run="nemo_curator.arrange.passes:add_id",
        examples=("nemo-curator add-id input=documents output=numbered prefix=web",),
        stage=STAGE,
    ),
    Command(
        name="sample",
        summary="take a fraction or a number of documents, evenly by a column if you like",
        settings="nemo_curator.arrange.settings:Sample",
        run="nemo_curator.arrange.passes:sample",
        examples=(
            "nemo-curator sample input=documents output=tenth fraction=0.1",
            "nemo-curator sample input=documents output=some by=language per_value=1000",
        ),
        stage=STAGE,
    ),
)
