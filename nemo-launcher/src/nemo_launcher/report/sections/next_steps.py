"""Commands to go on with, for what this run left behind."""

import shlex
from dataclasses import dataclass

from ..markup import EMPTY, Html, section, tag
from ..view import Artifact, Run

QUESTION = "What is this about?"


@dataclass(frozen=True, kw_only=True)
class Step:
    """A command and what it is good for."""

    why: str
    command: str


def render(run: Run) -> Html:
    """The commands, each with a button that copies it where scripts run."""
    found = steps(run)
    if not found:
        return EMPTY
    return section(
        "Go on from here",
        tag("ul", [_step(step) for step in found], cls="commands"),
        anchor="next",
        lead=("In the run folder: ", tag("code", f"cd {shlex.quote(run.folder)}")),
    )


def steps(run: Run) -> list[Step]:
    """What can be done with the newest artifact of each sort."""
    last = {artifact.kind: artifact for artifact in run.artifacts}
    found: list[Step] = []
    if servable := last.get("exported") or last.get("checkpoint"):
        path = shlex.quote(servable.path)
        found.append(Step(why="Serve the model and chat in a browser", command=f"nemo-deploy serve {path}"))
    if checkpoint := last.get("checkpoint"):
        found.append(_generate(run, checkpoint))
    if run.learnings:
        found.append(Step(why="Look at every curve in TensorBoard", command="tensorboard --logdir artifacts"))
    again = "resume" if run.state != "done" else "status"
    why = "Go on where this run stopped" if again == "resume" else "See the stages again"
    return [*found, Step(why=why, command=f"nemo-launcher {again} .")]


def _generate(run: Run, artifact: Artifact) -> Step:
    path = shlex.quote(artifact.path)
    if artifact.stats.get("objective") == "pretrain":
        return Step(why="Let it continue a text", command=f"nemo-core generate model={path} prompt='The module'")
    question = run.exchanges[0].question if run.exchanges else QUESTION
    return Step(
        why="Ask it on the command line", command=f"nemo-core generate model={path} chat={shlex.quote(question)}"
    )


def _step(step: Step) -> Html:
    return tag("li", tag("span", step.why), tag("code", step.command, tabindex=0), cls="command")
