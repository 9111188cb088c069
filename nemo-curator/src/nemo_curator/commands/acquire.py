"""Commands that fetch or make raw text."""

from ..foundation.command import Command, Stage

COMMANDS = (
    Command(
        name="acquire",
        summary="make raw web pages: the running Python's documentation, packed as WARC",
        settings="nemo_curator.acquire.settings:Acquire",
        run="nemo_curator.acquire.run:run",
        examples=("nemo-curator acquire source=python-docs output=pages",),
        stage=Stage(inputs={}, output="raw-web", cpus=2, memory_gib=1),
    ),
)
