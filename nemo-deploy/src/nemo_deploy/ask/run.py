"""Serve, ask, keep: the ``endpoint`` artifact."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nemo_core.foundation import artifact, atomic
from nemo_core.foundation.errors import ConfigError, InputError
from nemo_core.foundation.progress import Progress
from nemo_core.foundation.settings import to_plain

from ..serve.run import check_folder
from .client import Answer, ask
from .server import Endpoint, joined, serving
from .settings import AskSettings

TRANSCRIPT = "transcript.jsonl"
TIMINGS = "logs/timings.jsonl"


@dataclass(frozen=True, kw_only=True)
class AskResult:
    """What `nemo-deploy ask` prints; `question` and `answer` are the first of several."""

    output: str
    question: str
    answer: str
    model: str
    questions: int
    time_to_first_token_ms: float
    tokens_per_s: float


def run(settings: AskSettings) -> AskResult:
    """Make the endpoint artifact of `settings`."""
    questions = list_questions(settings)
    check_folder(settings.model)
    inputs = {"model": settings.model}
    if settings.questions:
        inputs["questions"] = settings.questions
    with artifact.create(
        settings.output,
        kind="endpoint",
        package="nemo-deploy",
        config=to_plain(settings),
        inputs=inputs,
        overwrite=settings.overwrite,
    ) as draft:
        ask_all(settings, questions, draft.path)
        describe_endpoint(settings, draft.path)
        draft.stats.update(summarize(draft.path), serve=serve_command(settings.model.resolve()))
        return AskResult(output=str(settings.output), **{k: v for k, v in draft.stats.items() if k != "serve"})


def list_questions(settings: AskSettings) -> list[str]:
    """The questions in order. Raises ConfigError where there are none, InputError where their file is unusable."""
    asked = [settings.question] if isinstance(settings.question, str) else list(settings.question or [])
    if settings.questions is not None:
        try:
            lines = settings.questions.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"questions: {settings.questions} cannot be read ({error})") from None
        asked += [line.strip() for line in lines if line.strip()]
    if not asked:
        raise ConfigError("nothing to ask: set question='...' or questions=FILE with one question per line")
    return asked


def ask_all(settings: AskSettings, questions: Sequence[str], folder: Path) -> None:
    """Ask what the transcript in `folder` does not answer yet."""
    done = complete_rows(folder)
    with (
        serving(settings.model, timeout_s=settings.start_timeout_s) as endpoint,
        Progress("ask", total=len(questions), unit="question") as progress,
    ):
        progress.advance(done)
        for question in questions[done:]:
            answer = ask(
                endpoint,
                question,
                max_tokens=settings.max_tokens,
                temperature=settings.temperature,
                seed=settings.seed,
            )
            keep(folder, question, answer, endpoint)
            progress.advance(note=f"{answer.tokens_per_s:.0f} tokens/s")


def complete_rows(folder: Path) -> int:
    """Questions answered by an earlier run that was cut off; a torn last line is dropped."""
    lines = {name: whole_lines(folder / name) for name in (TRANSCRIPT, TIMINGS)}
    done = min(map(len, lines.values()))
    for name, kept in lines.items():
        atomic.write_text(folder / name, "".join(f"{line}\n" for line in kept[:done]))
    return done


def whole_lines(path: Path) -> list[str]:
    """Lines of a file that end as lines do."""
    return path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []


def keep(folder: Path, question: str, answer: Answer, endpoint: Endpoint) -> None:
    """Add one row to the transcript and one to the timings, which differ from run to run and so are a log."""
    row = {"question": question, "answer": answer.text, "model": endpoint.model}
    timing = {
        "seconds": round(answer.seconds, 4),
        "time_to_first_token_ms": round(1000 * answer.first_token_s, 2),
        "tokens": answer.tokens,
        "tokens_per_s": round(answer.tokens_per_s, 1),
    }
    append(folder / TRANSCRIPT, {**row, "finish_reason": answer.finish_reason})
    append(folder / TIMINGS, timing)


def append(path: Path, row: dict[str, Any]) -> None:
    """Add one JSON line."""
    path.parent.mkdir(exist_ok=True)
    with open(path, "a", encoding="utf-8") as handle:
        handle.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All JSON lines of a file."""
    return [json.loads(line) for line in whole_lines(path)]


def describe_endpoint(settings: AskSettings, folder: Path) -> None:
    """Write endpoint.json: how to serve the same again, from inside the artifact's folder."""
    model = os.path.relpath(settings.model.resolve(), settings.output.resolve())
    description = {
        "model": model,
        "served_model_name": settings.model.resolve().name,
        "serve": serve_command(model),
        "routes": ["/v1/models", "/v1/completions", "/v1/chat/completions", "/"],
    }
    atomic.write_text(folder / "endpoint.json", json.dumps(description, indent=1, ensure_ascii=False) + "\n")


def serve_command(model: str | Path) -> str:
    """The command that serves `model` again."""
    return joined(["nemo-deploy", "serve", str(model)])


def summarize(folder: Path) -> dict[str, Any]:
    """Figures of the first question, and how many there were."""
    rows, timings = read_rows(folder / TRANSCRIPT), read_rows(folder / TIMINGS)
    return {
        "question": rows[0]["question"],
        "answer": rows[0]["answer"].strip(),
        "model": rows[0]["model"],
        "questions": len(rows),
        "time_to_first_token_ms": timings[0]["time_to_first_token_ms"],
        "tokens_per_s": timings[0]["tokens_per_s"],
    }
