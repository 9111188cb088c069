"""What went wrong, first of all: the stage, the message, the end of its log, and how to go on."""

from ..markup import EMPTY, Html, details, section, tag
from ..view import Run, Stage

SHOWN = ("failed", "cancelled")


def render(run: Run) -> Html:
    """The stages that failed or were stopped; nothing where all went well."""
    stopped = [stage for stage in run.stages if stage.state in SHOWN]
    if not stopped:
        return EMPTY
    return section(
        "What went wrong",
        [_stage(stage) for stage in stopped],
        tag(
            "p", "Once that is mended, ", tag("code", "nemo-launcher resume ."), " in the run folder goes on from here."
        ),
        anchor="failures",
        lead=_lead(run, stopped),
    )


def _lead(run: Run, stopped: list[Stage]) -> str:
    names = ", ".join(stage.name for stage in stopped)
    behind = sum(stage.state in ("waiting", "blocked") for stage in run.stages)
    tail = f" {behind} {'stage' if behind == 1 else 'stages'} behind did not run." if behind else ""
    return f"{names} did not finish.{tail}"


def _stage(stage: Stage) -> Html:
    code = f" with exit code {stage.exit_code}" if stage.exit_code is not None else ""
    attempts = f" after {stage.attempts} attempts" if stage.attempts > 1 else ""
    message = stage.message or (stage.log_tail.splitlines()[-1] if stage.log_tail else "No message was recorded.")
    return tag(
        "article",
        tag("h3", stage.name, tag("small", f" {stage.state}{code}{attempts}")),
        tag("p", message, cls="message", dir="auto"),
        _log(stage),
        cls="failure",
    )


def _log(stage: Stage) -> Html:
    if not stage.log_tail:
        return EMPTY
    summary = f"End of the log{f' ({stage.log_path})' if stage.log_path else ''}"
    return details(summary, tag("pre", stage.log_tail, tabindex=0), opened=True)
