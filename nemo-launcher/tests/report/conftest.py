"""Run folders as a workflow leaves them, made with the real artifact writer."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from nemo_launcher.foundation import artifact

START = 1_767_605_400.0
STAGES: tuple[tuple[str, str, tuple[str, ...], float, float], ...] = (
    ("acquire", "nemo-curator/acquire", (), 0, 21.4),
    ("curate", "nemo-curator/run", ("acquire",), 21.6, 48.3),
    ("questions", "nemo-curator/questions", ("curate",), 70.1, 6.2),
    ("tokenizer", "nemo-core/tokenizer", ("curate",), 70.2, 9.7),
    ("preferences", "nemo-curator/preferences", ("questions",), 76.5, 4.4),
    ("tokenize", "nemo-core/tokenize", ("curate", "tokenizer"), 80.1, 5.8),
    ("pretrain", "nemo-core/pretrain", ("tokenize",), 86.2, 84.0),
    ("sft", "nemo-core/sft", ("pretrain", "questions"), 170.4, 31.5),
    ("dpo", "nemo-aligner/dpo", ("sft", "preferences"), 202.0, 29.9),
    ("grpo", "nemo-aligner/grpo", ("dpo", "questions"), 232.1, 44.6),
    ("evaluate", "nemo-aligner/evaluate", ("pretrain", "sft", "dpo", "grpo", "questions"), 276.9, 16.3),
    ("export", "nemo-deploy/export", ("grpo",), 276.8, 2.1),
    ("ask", "nemo-deploy/ask", ("export",), 279.0, 5.3),
)
DOCUMENTS = {
    "documents_in": 4312,
    "documents_out": 2874,
    "bytes_in": 186_400_211,
    "bytes_out": 21_884_310,
    "funnel": [
        {"step": "extract", "documents": 4251, "bytes": 38_100_000, "dropped": {"no_text": 61}},
        {"step": "repair", "documents": 4251, "bytes": 38_090_000, "dropped": {}},
        {"step": "language", "documents": 4188, "bytes": 37_800_000, "dropped": {"other_language": 63}},
        {
            "step": "quality",
            "documents": 3420,
            "bytes": 27_300_000,
            "dropped": {"too_few_words": 604, "too_many_symbols": 97, "too_few_stop_words": 67},
        },
        {
            "step": "repetition",
            "documents": 3271,
            "bytes": 25_000_000,
            "dropped": {"duplicate_line_share_too_high": 149},
        },
        {"step": "exact_dedup", "documents": 3102, "bytes": 23_400_000, "dropped": {"exact_duplicate": 169}},
        {"step": "fuzzy_dedup", "documents": 2874, "bytes": 21_884_310, "dropped": {"near_duplicate": 228}},
    ],
    "examples": {
        "too_few_words": [
            {
                "id": "a1",
                "title": "this",
                "excerpt": "The Zen of Python, by Tim Peters",
                "detail": "9 words, at least 50",
            },
            {"id": "a2", "title": "antigravity", "excerpt": "webbrowser.open(…)", "detail": "4 words, at least 50"},
        ],
        "near_duplicate": [
            {
                "id": "b1",
                "title": "os.path",
                "excerpt": "Common operations on Posix pathnames. Instead of importing this module directly, import os "
                "and refer to this module as os.path.",
                "detail": "like posixpath (0.97)",
            }
        ],
        "no_text": [{"id": "c1", "title": "", "excerpt": "", "detail": "the page has a menu and nothing else"}],
    },
    "languages": {"en": 2801, "fr": 31, "de": 22, "es": 9, "la": 6, "it": 5},
    "seconds": {"extract": 14.2, "fuzzy_dedup": 11.9},
}
QUESTIONS = (
    ("What is json?", "JSON (JavaScript Object Notation) is a lightweight data interchange format."),
    ("What is heapq?", "Heap queue algorithm, also known as the priority queue algorithm."),
    ("What is textwrap?", "Text wrapping and filling."),
    ("What is bisect?", "Bisection algorithms."),
    ("What is shelve?", "Manage shelves of pickled objects."),
    ("What is glob?", "Filename globbing utility."),
)
ANSWERS = {
    "pretrained": " of the object of the module.\n\n    Methods defined here:\n\n    __init__(self, /, *args)",
    "sft": "The {0} module is a a module that provides access to the the standard library. It is used to used to",
    "dpo": "The {0} module provides functions to read and write the data of",
    "grpo": "The {0} module provides functions to read and write data.",
}


def write_artifact(
    run: Path,
    stage: str,
    kind: str,
    *,
    stats: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
    inputs: Sequence[str] = (),
    config: Mapping[str, Any] | None = None,
) -> None:
    """A finished artifact of a stage in a run folder."""
    with artifact.create(
        run / "artifacts" / stage,
        kind=kind,
        package="nemo-launcher",
        config=config or {"seed": 0},
        inputs={name: run / "artifacts" / name for name in inputs},
    ) as draft:
        draft.stats.update(stats or {})
        for name, content in (files or {"data.txt": f"{stage}\n"}).items():
            (draft.path / name).parent.mkdir(parents=True, exist_ok=True)
            (draft.path / name).write_text(content, encoding="utf-8", errors="surrogatepass")


def jsonl(rows: Sequence[Mapping[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def wobble(step: int) -> float:
    """Noise that is the same on every machine."""
    return math.sin(step * 12.9898) * math.cos(step * 4.1414)


def fall(step: int, *, start: float, floor: float, pace: float) -> float:
    return floor + (start - floor) * math.exp(-step / pace)


def language_rows(steps: int, *, start: float, floor: float) -> list[dict[str, float]]:
    rows = []
    for step in range(1, steps + 1):
        loss = fall(step, start=start, floor=floor, pace=steps / 6)
        row = {
            "step": step,
            "tokens": step * 8192,
            "time_s": step * 0.2,
            "loss": loss + 0.12 * wobble(step),
            "learning_rate": 3e-3 * min(step / 20, 1 - step / (steps * 1.1)),
            "grad_norm": 1 + 0.4 * wobble(step),
            "tokens_per_s": 41_000 + 900 * wobble(step),
        }
        if step % (steps // 8) == 0:
            row["validation_loss"] = loss + 0.08
        rows.append(row)
    return rows


def dpo_rows(steps: int) -> list[dict[str, float]]:
    rows = []
    for step in range(1, steps + 1):
        share = 1 - math.exp(-step / 18)
        row = {
            "step": step,
            "tokens": step * 2048,
            "time_s": step * 0.4,
            "loss": 0.693 - 0.5 * share + 0.04 * wobble(step),
        }
        row |= {
            "preference_accuracy": 0.5 + 0.42 * share + 0.05 * wobble(step),
            "margin": 2.4 * share + 0.2 * wobble(step),
        }
        if step % 10 == 0:
            row |= {"validation_preference_accuracy": 0.5 + 0.4 * share, "validation_loss": 0.7 - 0.48 * share}
        rows.append(row)
    return rows


def grpo_rows(steps: int) -> list[dict[str, float]]:
    rows = []
    for step in range(1, steps + 1):
        share = 1 - math.exp(-step / 14)
        parts = {
            "reward/names_subject": 0.55 + 0.3 * share + 0.06 * wobble(step),
            "reward/full_stop": 0.2 + 0.7 * share + 0.05 * wobble(step + 3),
            "reward/concise": 0.4 + 0.5 * share + 0.05 * wobble(step + 7),
            "reward/no_repetition": 0.7 + 0.2 * share + 0.03 * wobble(step + 11),
        }
        rows.append(
            {
                "step": step,
                "tokens": step * 4096,
                "time_s": step * 0.9,
                "reward": sum(parts.values()) / len(parts),
                **parts,
                "reward_std": 0.2 - 0.1 * share,
                "kl": 0.02 + 0.3 * share,
                "response_tokens": 46 - 27 * share + 2 * wobble(step),
                "entropy": 2.1 - 0.9 * share,
                "clip_fraction": 0.04,
            }
        )
    return rows


def training_stats(
    objective: str, steps: int, before: Mapping[str, float], after: Mapping[str, float]
) -> dict[str, Any]:
    return {
        "objective": objective,
        "steps": steps,
        "tokens": steps * 8192,
        "parameters": 2_134_528,
        "before": dict(before),
        "after": dict(after),
        "seconds": 30.2,
    }


def results() -> dict[str, Any]:
    def metrics(perplexity: float, accuracy: float, reward: float, tokens: float) -> dict[str, Any]:
        return {
            "answer_perplexity": {"value": perplexity, "unit": "", "better": "lower", "count": 240},
            "preference_accuracy": {"value": accuracy, "unit": "fraction", "better": "higher", "count": 240},
            "reward": {"value": reward, "unit": "", "better": "higher", "count": 64},
            "response_tokens": {"value": tokens, "unit": "tokens", "better": "lower", "count": 64},
        }

    figures = {
        "pretrained": metrics(182.4, 0.504, 0.217, 64.0),
        "sft": metrics(14.21, 0.571, 0.463, 46.3),
        "dpo": metrics(15.9, 0.912, 0.585, 33.1),
        "grpo": metrics(16.4, 0.904, 0.881, 18.7),
    }
    return {
        "models": {
            name: {
                "metrics": table,
                "samples": [
                    {
                        "prompt": q,
                        "answer": ANSWERS[name].format(q.split()[-1].rstrip("?")),
                        "reference": a,
                        "held_out": q != "What is bisect?",
                    }
                    for q, a in QUESTIONS
                ],
            }
            for name, table in figures.items()
        }
    }


def write_plan(run: Path, stages: Sequence[tuple[str, str, tuple[str, ...], float, float]] = STAGES) -> None:
    plan = {
        "name": "quickstart",
        "workflow": "/suite/examples/quickstart/workflow.yaml",
        "stages": [{"name": name, "use": use, "needs": list(needs)} for name, use, needs, _, _ in stages],
        "left_out": ["benchmark"],
    }
    (run / "plan.json").write_text(json.dumps(plan))
    origin = {
        "command": ["nemo-launcher", "run", "examples/quickstart/workflow.yaml", "input=my data"],
        "workflow_revision": "4b0233d",
        "packages": {"nemo-launcher": "0.1.0", "nemo-core": "0.1.0"},
        "python": {"version": "3.11.7"},
        "machine": "Linux-x86_64",
    }
    (run / "provenance.json").write_text(json.dumps(origin))


def event(name: str, second: float, **facts: Any) -> dict[str, Any]:
    return {"time": START + second, "event": name, **facts}


def write_journal(run: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    (run / "journal.jsonl").write_text(jsonl(sorted(rows, key=lambda row: row["time"])))


def finished_rows(names: Sequence[str]) -> list[dict[str, Any]]:
    rows = [event("run", 0, capacity=2)]
    for name, _, _, begin, seconds in STAGES:
        if name in names:
            rows.append(event("started", begin, stage=name, attempt=1, key="k", recipe_key="r"))
            rows.append(
                event("ended", begin + seconds, stage=name, attempt=1, exit_code=0, signal=None, seconds=seconds)
            )
            rows.append(event("done", begin + seconds, stage=name, key="k", digest="d", seconds=seconds))
    return rows


def write_quickstart(run: Path) -> Path:
    """A quickstart that went well."""
    run.mkdir(parents=True, exist_ok=True)
    write_plan(run)
    names = [stage[0] for stage in STAGES]
    write_journal(run, [*finished_rows(names), event("run_ended", 293.4, stages=dict.fromkeys(names, "done"))])
    write_artifact(run, "acquire", "raw-web", stats={"documents": 4312, "source": "python-docs"})
    documents = {"data/part-00000.parquet": "x" * 4000, "report.html": "<p>documents</p>"}
    write_artifact(run, "curate", "documents", stats=DOCUMENTS, files=documents, inputs=["acquire"])
    write_artifact(run, "questions", "conversations", stats={"train": 2100, "validation": 240}, inputs=["curate"])
    write_artifact(run, "tokenizer", "tokenizer", stats={"vocabulary": 4096}, inputs=["curate"])
    write_artifact(run, "preferences", "preferences", stats={"train": 2100, "validation": 240}, inputs=["questions"])
    write_artifact(run, "tokenize", "tokens", stats={"train_tokens": 5_210_332}, inputs=["curate", "tokenizer"])
    write_models(run)
    write_artifact(run, "evaluate", "evaluation", files={"results.json": json.dumps(results())}, inputs=["grpo"])
    write_artifact(run, "export", "exported", stats={"format": "huggingface", "dtype": "float32"}, inputs=["grpo"])
    asked = {"question": "What is json?", "answer": "The json module provides functions to read and write data."}
    transcript, timings = jsonl([{**asked, "model": "grpo"}]), jsonl([{"seconds": 0.41}])
    files = {"transcript.jsonl": transcript, "endpoint.json": "{}", "logs/timings.jsonl": timings}
    write_artifact(run, "ask", "endpoint", stats=asked, files=files, inputs=["export"])
    return run


def write_models(run: Path) -> None:
    def learn(
        stage: str, needs: str, objective: str, rows: Sequence[Mapping[str, Any]], before: Any, after: Any
    ) -> None:
        stats = training_stats(objective, len(rows), before, after)
        files = {"model.safetensors": "w" * 90_000, "metrics.jsonl": jsonl(rows)}
        write_artifact(
            run, stage, "checkpoint", stats=stats, files=files, inputs=[needs], config={"learning_rate": 3e-3}
        )

    learn(
        "pretrain", "tokenize", "pretrain", language_rows(400, start=8.3, floor=2.9),
        {"loss": 8.318, "perplexity": 4096.9}, {"loss": 2.993, "perplexity": 19.95},
    )  # fmt: skip
    learn(
        "sft", "pretrain", "sft", language_rows(120, start=5.1, floor=2.5),
        {"loss": 5.206, "perplexity": 182.4}, {"loss": 2.654, "perplexity": 14.21},
    )  # fmt: skip
    learn(
        "dpo", "sft", "dpo", dpo_rows(80),
        {"loss": 0.693, "preference_accuracy": 0.571, "margin": 0.0},
        {"loss": 0.231, "preference_accuracy": 0.912, "margin": 2.31},
    )  # fmt: skip
    learn(
        "grpo", "dpo", "grpo", grpo_rows(60),
        {"reward": 0.585, "response_tokens": 33.1}, {"reward": 0.881, "response_tokens": 18.7},
    )  # fmt: skip


def write_failed(run: Path) -> Path:
    """A run whose pretraining died, so that all behind it waits."""
    run.mkdir(parents=True, exist_ok=True)
    write_plan(run)
    rows = finished_rows(["acquire", "curate", "questions"])
    rows.append(event("started", 80, stage="tokenizer", attempt=1, key="k", recipe_key="r"))
    rows.append(event("ended", 83, stage="tokenizer", attempt=1, exit_code=2, signal=None, seconds=3.0))
    rows.append(event("failed", 83, stage="tokenizer", reason="its input or settings are refused (exit code 2)"))
    rows += [event("blocked", 83, stage=name, reason="tokenizer failed") for name in ("tokenize", "pretrain", "sft")]
    write_journal(run, rows)
    write_artifact(run, "acquire", "raw-web", stats={"documents": 4312})
    write_artifact(run, "curate", "documents", stats=DOCUMENTS, inputs=["acquire"])
    write_artifact(run, "questions", "conversations", inputs=["curate"])
    log = run / "stages" / "tokenizer" / "attempt-1" / "stderr.log"
    log.parent.mkdir(parents=True)
    log.write_text("tokenizer: reading documents\nnemo-core: error: vocabulary=7 is too small; use 257 or more\n")
    return run


@pytest.fixture
def quickstart(tmp_path: Path) -> Path:
    return write_quickstart(tmp_path / "run")


@pytest.fixture
def failed(tmp_path: Path) -> Path:
    return write_failed(tmp_path / "run")


@pytest.fixture
def make_artifact() -> Callable[..., None]:
    return write_artifact
