"""Commands of the demo package: write, join, slow, fail, look."""

from nemo_launcher.foundation.command import Command, Program, Stage, StageInput

DOCUMENTS = StageInput(kinds=("documents",), external=True)
OPTIONAL = StageInput(kinds=("documents",), required=False)


def command(name: str, inputs: dict[str, StageInput], output: str | None = "documents") -> Command:
    return Command(
        name=name,
        summary=f"{name} text",
        settings=f"demo_stages.commands:{name.capitalize()}",
        run=f"demo_stages.commands:{name}",
        stage=Stage(inputs=inputs, output=output, memory_gib=0.1),
    )


PROGRAM = Program(
    package="demo-stages",
    summary="Tiny stages.",
    commands=(
        command("write", {}),
        command("join", {"parts": DOCUMENTS, "model": StageInput(kinds=("checkpoint",), required=False)}),
        command("slow", {"input": OPTIONAL}),
        command("fail", {"input": OPTIONAL}),
        command("look", {"input": DOCUMENTS}, output=None),
    ),
)
