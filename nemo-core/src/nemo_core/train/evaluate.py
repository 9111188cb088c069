"""`nemo-core evaluate`: what a model makes of documents and conversations it has not learnt from."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from ..checkpoint.folder import check_folder, check_vocabulary, load_model
from ..data.batch import IGNORED, Batch
from ..data.chat import encode_conversations
from ..data.indexed import IndexedDataset
from ..data.packing import pack, packed_batch
from ..data.rows import read_conversations
from ..evaluation.tasks import TaskPlan, run_task
from ..evaluation.windows import SlidingWindows
from ..foundation import artifact, atomic
from ..foundation.errors import ConfigError, InputError
from ..foundation.progress import track
from ..foundation.settings import to_plain
from ..model.decoder import Decoder
from ..peft.adapter import prefix_ids
from ..peft.folder import load_adapter
from ..tokenizer.load import Tokenizer, load_tokenizer
from .device import Compute, choose_compute
from .measure import Measured, measure
from .samples import answer, choose_questions
from .settings import EvaluateSettings
from .sft import prefixed

RESULTS = "results.json"


@dataclass(frozen=True)
class Metric:
    """A figure, its unit, which way is better, and how many tokens it is the mean of."""

    value: float
    unit: str
    better: Literal["lower", "higher"]
    count: int


@dataclass
class Results:
    """Figures and sample answers of one model."""

    metrics: dict[str, Metric] = field(default_factory=dict)
    samples: list[dict[str, str]] = field(default_factory=list)
    answers: dict[str, list[dict[str, object]]] = field(default_factory=dict)


def run(settings: EvaluateSettings) -> dict[str, Any]:
    """Make the evaluation artifact of `settings`. Raises ConfigError where there is nothing to evaluate on."""
    inputs = {key: getattr(settings, key) for key in ("model", "adapter", "tokens", "conversations")}
    given = {key: path for key, path in inputs.items() if path is not None}
    given |= {f"tasks.{number}": path for number, path in enumerate(settings.tasks)}
    if not (given.keys() & {"tokens", "conversations"} or settings.tasks):
        raise ConfigError("nothing to evaluate on: give tokens=..., conversations=..., tasks=[...] or several")
    with artifact.create(
        settings.output,
        kind="evaluation",
        package="nemo-core",
        config=to_plain(settings),
        inputs=given,
        overwrite=settings.overwrite,
    ) as draft:
        found = evaluate(settings)
        write_answers(found, draft.path)
        metrics = metrics_of(found)
        results = {"models": {settings.name: {"metrics": metrics, "samples": found.samples}}}
        atomic.write_text(draft.path / RESULTS, json.dumps(results, indent=1, ensure_ascii=False) + "\n")
        figures = {name: metric["value"] for name, metric in metrics.items()}
        draft.stats.update(model=settings.name, **figures)
    return {"output": str(settings.output), **figures}


def metrics_of(results: Results) -> dict[str, dict[str, Any]]:
    """The figures as they are written."""
    return {name: asdict(metric) for name, metric in results.metrics.items()}


def write_answers(results: Results, folder: Path) -> None:
    """Every answer to every task's questions, one file for each task."""
    for task, answers in results.answers.items():
        lines = "".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers)
        (folder / "answers").mkdir(exist_ok=True)
        atomic.write_text(folder / "answers" / f"{task}.jsonl", lines)


def evaluate(settings: EvaluateSettings) -> Results:
    """Every figure that the given data allows. Raises InputError where model, tokenizer and data do not fit."""
    compute = choose_compute(settings)
    folder = check_folder(settings.model)
    tokenizer = load_tokenizer(folder)
    model = load_model(folder, device=str(compute.device))
    if settings.adapter is not None:
        load_adapter(model, settings.adapter).eval()
    check_vocabulary(folder, model.config, tokenizer)
    if settings.sequence_length > model.config.max_positions:
        raise ConfigError(
            f"sequence_length={settings.sequence_length} is longer than the {model.config.max_positions} positions "
            f"of {folder}; shorten it"
        )
    results = Results()
    if settings.tokens is not None:
        results.metrics |= document_metrics(settings, model, tokenizer, compute)
    if settings.conversations is not None:
        evaluate_answers(settings, model, tokenizer, compute, results)
    for path in settings.tasks:
        evaluate_task(settings, path, model, tokenizer, compute, results)
    return results


def evaluate_task(
    settings: EvaluateSettings, path: Path, model: Decoder, tokenizer: Tokenizer, compute: Compute, results: Results
) -> None:
    """Figures and answers of one task, named after its file. Raises ConfigError for two of one name."""
    name = path.name.removesuffix(".gz").removesuffix(".jsonl")
    if name in results.answers:
        raise ConfigError(f"tasks: two files are called {name}; rename one, their figures would be mixed up")
    plan = TaskPlan(
        shots=settings.shots,
        max_tokens=settings.answer_tokens,
        batch_size=settings.batch_size,
        uses_chat=settings.chat,
    )
    with compute.precision():
        found = run_task(path, model, tokenizer, plan)
    results.answers[name] = found.answers
    for metric, value in found.figures.items():
        results.metrics[f"{name}_{metric}"] = Metric(value, "share of questions", "higher", found.count)


def document_metrics(
    settings: EvaluateSettings, model: Decoder, tokenizer: Tokenizer, compute: Compute
) -> dict[str, Metric]:
    """Loss and perplexity per token, and bits per byte of text, on the held-out documents."""
    assert settings.tokens is not None
    if (settings.tokens / artifact.MANIFEST).is_file():
        artifact.read(settings.tokens, "tokens")
    dataset = IndexedDataset(settings.tokens / "validation")
    stream = dataset.tokens[: settings.max_tokens + 1]
    if len(stream) < 2:
        raise InputError(f"{dataset.prefix}.bin: holds {len(stream)} tokens, too few to predict one from another")
    if int(stream.max()) >= model.config.vocab_size:
        raise InputError(
            f"{dataset.prefix}.bin: holds token {int(stream.max())}, the model of {settings.model} knows "
            f"{model.config.vocab_size}: another tokenizer made it"
        )
    prefix = prefix_ids(model)
    windows = SlidingWindows(stream, settings.sequence_length - len(prefix), settings.stride)
    size = settings.batch_size
    batches = [range(at, min(at + size, len(windows))) for at in range(0, len(windows), size)]
    measured = measured_with(
        model,
        (prefixed_batch(windows.batch(list(numbers)), prefix) for numbers in track(batches, "documents")),
        compute,
    )
    bits = measured.loss * measured.count / math.log(2)
    num_bytes = len(tokenizer.decode(stream[1:].tolist()).encode())
    return {
        "validation_loss": Metric(measured.loss, "nats/token", "lower", measured.count),
        "perplexity": Metric(measured.perplexity, "", "lower", measured.count),
        "bits_per_byte": Metric(bits / max(1, num_bytes), "bits/byte", "lower", num_bytes),
    }


def prefixed_batch(batch: Batch, prefix: Sequence[int]) -> Batch:
    """The rows of `batch` after tokens that are read, not counted."""
    before_BT = torch.tensor([list(prefix)] * len(batch.ids_BT), dtype=torch.int64).reshape(len(batch.ids_BT), -1)
    uncounted_BT = torch.full_like(before_BT, IGNORED)
    return Batch(torch.cat([before_BT, batch.ids_BT], 1), torch.cat([uncounted_BT, batch.targets_BT], 1))


def evaluate_answers(
    settings: EvaluateSettings, model: Decoder, tokenizer: Tokenizer, compute: Compute, results: Results
) -> None:
    """Loss and accuracy on held-out answers, and sample answers."""
    assert settings.conversations is not None
    rows = read_conversations(settings.conversations, "validation")
    prefix = prefix_ids(model)
    encoded = encode_conversations(rows, tokenizer, max_length=settings.sequence_length - len(prefix))
    examples = prefixed(encoded, prefix).examples
    packed = pack([len(example.ids) for example in examples], capacity=settings.sequence_length)
    size = settings.batch_size
    chunks = [packed[at : at + size] for at in range(0, len(packed), size)]
    batches = (packed_batch([[examples[n] for n in row] for row in chunk]) for chunk in track(chunks, "answers"))
    measured = measured_with(model, batches, compute)
    results.metrics["answer_loss"] = Metric(measured.loss, "nats/token", "lower", measured.count)
    results.metrics["answer_accuracy"] = Metric(measured.accuracy, "share of tokens", "higher", measured.count)
    questions = choose_questions(rows, count=settings.samples)
    with compute.precision():
        said = answer(model, tokenizer, questions, max_tokens=settings.sample_tokens)
    results.samples = [
        {"prompt": question.text, "answer": text, "reference": question.reference}
        for question, text in zip(questions, said, strict=True)
    ]


def measured_with(model: Decoder, batches: Iterator[Batch], compute: Compute) -> Measured:
    """Loss and accuracy over the batches, in the precision of `compute`."""
    with compute.precision():
        return measure(model, batches, device=compute.device)
