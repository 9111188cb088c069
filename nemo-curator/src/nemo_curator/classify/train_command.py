"""``nemo-curator prepare-fasttext`` and ``train-classifier``: from documents of known quality to a fastText model."""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappush, heappushpop
from pathlib import Path

from ..arrange.stable import fraction
from ..foundation.atomic import atomic_file, remove_torn
from ..foundation.errors import ArtifactError, ConfigError, InputError
from ..foundation.progress import Progress
from ..tables.source import open_source
from . import train_fasttext as training
from .fasttext_format import Shape, write_model
from .train_fasttext import LABEL
from .train_settings import PrepareFastText, TrainClassifier


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """What was written."""

    output: Path
    documents: int


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What was learnt, and how well it does on the lines held out."""

    output: Path
    labels: dict[str, int]
    words: int
    train_accuracy: float
    validation_accuracy: float | None
    validation_lines: int


def prepare(settings: PrepareFastText) -> Prepared:
    """Write the training lines. Raises InputError where there is no document."""
    refuse_existing(settings.output, settings.overwrite)
    count = 0
    with atomic_file(settings.output) as handle:
        for line in chosen(settings):
            handle.write(f"{LABEL}{settings.label} {line}\n".encode())
            count += 1
        if not count:
            raise InputError(f"input={settings.input}: holds no document to learn from")
    return Prepared(output=settings.output, documents=count)


def chosen(settings: PrepareFastText) -> Iterator[str]:
    """Texts on one line each; a sample holds those whose ids have the lowest hashes, in the order of these."""
    heap: list[tuple[float, str, str]] = []
    for documents, _ in open_source(settings.input, text_field=settings.text_field).batches():
        for identity, text in zip(documents["id"].to_pylist(), documents["text"].to_pylist(), strict=True):
            line = one_line(text)
            if not line:
                continue
            if settings.samples is None:
                yield line
                continue
            entry = (-fraction(identity, seed=settings.seed, purpose="prepare"), identity, line)
            heappush(heap, entry) if len(heap) < settings.samples else heappushpop(heap, entry)
    yield from (line for _, _, line in sorted(heap, reverse=True))


def one_line(text: str) -> str:
    """The text on one line, without what fastText would take for a label."""
    return " ".join(text.replace(LABEL, " ").replace("\0", " ").split())


def train(settings: TrainClassifier) -> Trained:
    """Train a model and write it. Raises ConfigError or InputError where there is too little to learn from."""
    refuse_existing(settings.output, settings.overwrite)
    texts, labels = read_lines(settings)
    held = [fraction(text, seed=settings.seed, purpose="hold-out") < settings.validation_share for text in texts]
    shape = Shape(
        dimension=settings.dimension,
        word_ngrams=settings.word_ngrams,
        buckets=settings.buckets,
        epochs=settings.epochs,
        min_count=settings.min_count,
    )
    seen = [(text, label) for text, label, out in zip(texts, labels, held, strict=True) if not out]
    unseen = [(text, label) for text, label, out in zip(texts, labels, held, strict=True) if out]
    dictionary = training.dictionary_of([t for t, _ in seen], [n for _, n in seen], min_count=settings.min_count)
    if len(dictionary.labels) < 2:
        only = ", ".join(name.removeprefix(LABEL) for name in dictionary.labels) or "(none)"
        raise InputError(f"files: only the label {only} is in them; two are needed")
    unseen = [(text, label) for text, label in unseen if LABEL + label in dictionary.labels]
    with Progress("train", total=3, unit="steps") as progress:
        lines = training.encode([t for t, _ in seen], [n for _, n in seen], dictionary, shape)
        progress.advance(note="lines read")
        matrices = training.train(lines, dictionary, shape, rate=settings.rate, seed=settings.seed)
        progress.advance(note="trained")
        tested = training.encode([t for t, _ in unseen], [n for _, n in unseen], dictionary, shape)
        with atomic_file(settings.output) as handle:
            write_model(handle, dictionary, shape, matrices)
        progress.advance(note="written")
    return Trained(
        output=settings.output,
        labels={name.removeprefix(LABEL): count for name, count in dictionary.labels.items()},
        words=len(dictionary.words),
        train_accuracy=round(training.accuracy(lines, matrices), 4),
        validation_accuracy=round(training.accuracy(tested, matrices), 4) if unseen else None,
        validation_lines=len(unseen),
    )


def read_lines(settings: TrainClassifier) -> tuple[list[str], list[str]]:
    """Texts and labels of all files. Raises InputError naming the line that has no label."""
    texts, labels = [], []
    for path in settings.files:
        if not path.is_file():
            raise InputError(f"files: {path} is not there; write it with prepare-fasttext")
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            label, _, text = line.partition(" ")
            if not line.strip():
                continue
            if not label.startswith(LABEL):
                raise InputError(f"{path}:{number}: begins with no {LABEL}NAME but with {label[:40]!r}")
            if not settings.labels or label.removeprefix(LABEL) in settings.labels:
                texts.append(text)
                labels.append(label.removeprefix(LABEL))
    if not texts:
        raise ConfigError("files: hold no line to learn from")
    return texts, labels


def refuse_existing(path: Path, overwrite: bool) -> None:
    """Raise ArtifactError rather than replace a file unasked; what a killed process left half-written is removed."""
    if path.exists() and not overwrite:
        raise ArtifactError(f"{path}: exists already; name another output, or say overwrite=true to replace it")
    remove_torn(path)
