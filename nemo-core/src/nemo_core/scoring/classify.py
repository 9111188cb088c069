"""`nemo-core classify`: what a classifier or a reward model says of documents and conversations."""

import contextlib
import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoint.scoring import load_scoring_model
from ..data.documents import list_shards, parse_object, read_lines, read_shard
from ..data.rows import conversation_files
from ..data.turns import Malformed, Message, as_messages
from ..foundation import artifact, atomic
from ..foundation.errors import InputError
from ..foundation.progress import Progress
from ..model.scoring import ScoringModel
from ..tokenizer.load import Tokenizer, load_tokenizer
from ..train.device import Compute, choose_compute
from .data import ids_of
from .settings import ClassifySettings

BATCHES_AT_ONCE = 32  # sorted by length together, so that rows of a batch need little filling
Row = dict[str, Any]


@dataclass(frozen=True)
class Text:
    """A text or a chat, and the name it keeps."""

    id: str
    content: str | list[Message]
    place: str


@dataclass
class Tally:
    """What came out, for the last line."""

    texts: int = 0
    cut: int = 0
    empty: int = 0
    labels: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Judge:
    """A scoring model with what turns texts into its ids."""

    model: ScoringModel
    tokenizer: Tokenizer
    max_tokens: int
    batch_size: int
    compute: Compute

    def rows(self, texts: Sequence[Text], tally: Tally) -> list[Row]:
        """One row for each text, in order; scores are null for a text without tokens."""
        encoded = [self.ids(text, tally) for text in texts]
        order = sorted((n for n, ids in enumerate(encoded) if ids), key=lambda n: len(encoded[n]))
        scores: dict[int, list[float]] = {}
        for at in range(0, len(order), self.batch_size):
            numbers = order[at : at + self.batch_size]
            scores |= zip(numbers, self.scores([encoded[n] for n in numbers]).tolist(), strict=True)
        return [self.row(text, scores.get(n), tally) for n, text in enumerate(texts)]

    def ids(self, text: Text, tally: Tally) -> list[int]:
        """Ids as in training, the rest of a long text cut off; none for an empty one."""
        tally.texts += 1
        if not text.content:
            tally.empty += 1
            return []
        ids = ids_of(text.content, self.tokenizer, pad=self.model.decoder.config.pad_id, place=text.place)
        tally.cut += len(ids) > self.max_tokens
        return ids[: self.max_tokens]

    @torch.inference_mode()
    def scores(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Probabilities of the classes, [B, C]; of a reward model the score itself, [B, 1]."""
        lengths_B = torch.tensor([len(row) for row in rows])
        ids_BT = torch.zeros(len(rows), int(lengths_B.max()), dtype=torch.int64)
        for number, row in enumerate(rows):
            ids_BT[number, : len(row)] = torch.tensor(row)
        device = self.compute.device
        with self.compute.precision():
            scores_BC: Tensor = self.model(ids_BT.to(device), lengths_B.to(device)).float()
        return scores_BC if len(self.model.labels) == 1 else scores_BC.softmax(-1)

    def row(self, text: Text, scores: list[float] | None, tally: Tally) -> Row:
        """What is written of a text."""
        names = self.model.labels
        if len(names) == 1:
            return {"id": text.id, "score": None if scores is None else scores[0]}
        if scores is None:
            return {"id": text.id, "label": None, "scores": None}
        label = names[max(range(len(names)), key=scores.__getitem__)]
        tally.labels[label] += 1
        return {"id": text.id, "label": label, "scores": dict(zip(names, scores, strict=True))}


def run(settings: ClassifySettings) -> dict[str, Any]:
    """Write a row for each text, in order."""
    artifact.check_output_file(settings.output, {"texts": settings.texts}, overwrite=settings.overwrite)
    compute = choose_compute(settings)
    judge = open_judge(settings, compute)
    tally = Tally()
    size = settings.batch_size * BATCHES_AT_ONCE
    with writer(settings.output) as write, Progress("classify", unit="texts") as progress:
        source = read_texts(settings.texts, settings.field)
        while texts := list(itertools.islice(source, size)):
            write(judge.rows(texts, tally))
            progress.advance(len(texts))
        if not tally.texts:
            raise InputError(f"{settings.texts}: holds no text")
    figures = {"output": str(settings.output), "texts": tally.texts, "cut_to_length": tally.cut, "empty": tally.empty}
    return {**figures, **({"labels": dict(tally.labels)} if len(judge.model.labels) > 1 else {})}


def open_judge(settings: ClassifySettings, compute: Compute) -> Judge:
    """The model of the settings. ArtifactError where it is no ...ForSequenceClassification folder."""
    model = load_scoring_model(settings.model, device=compute.device).requires_grad_(False)
    positions = model.config.max_positions
    max_tokens = min(settings.max_tokens or positions, positions)
    return Judge(model, load_tokenizer(settings.model), max_tokens, settings.batch_size, compute)


def read_texts(source: Path, key: str) -> Iterator[Text]:
    """Texts of an artifact of documents or conversations, or of JSONL and Parquet files, one at a time.

    A row has its text, or a list of messages, under `key`; one without may have `messages`. Raises InputError naming
    file:line for a row that has neither.
    """
    for path in files_of(source):
        if path.name.endswith(".parquet"):
            documents = read_shard(path, text_field=key)
            yield from (Text(document.id, document.text, str(path)) for document in documents)
        else:
            yield from (text_of(row, key, f"{path}:{number}") for number, row in objects(path))


def files_of(source: Path) -> list[Path]:
    """Files of texts, in order."""
    if (source / artifact.MANIFEST).is_file():
        artifact.read(source, ("documents", "conversations"))
        return conversation_files(source) or list_shards(source)
    return list_shards(source)


def objects(path: Path) -> Iterator[tuple[int, Row]]:
    """Numbered JSON objects of a file."""
    return ((number, parse_object(path, number, line)) for number, line in read_lines(path))


def text_of(row: Mapping[str, Any], key: str, place: str) -> Text:
    """The text of a row, or its chat."""
    name = key if row.get(key) is not None else "messages"
    content = row.get(name)
    if content is None:
        raise InputError(f"{place}: no {key} and no messages (keys: {', '.join(row) or 'none'}); name it with field=")
    try:
        found = (
            content if isinstance(content, str) else [t.message for t in as_messages(content, role="user", key=name)]
        )
    except Malformed as error:
        raise InputError(f"{place}: {error}") from None
    return Text(str(row.get("id", Path(place).name)), found, place)


@contextlib.contextmanager
def writer(path: Path) -> Iterator[Callable[[list[Row]], None]]:
    """Takes rows and writes them to a .jsonl or .parquet file that appears when all are there."""
    with atomic.atomic_file(path) as handle:
        if path.suffix == ".jsonl":
            yield lambda rows: handle.writelines((json.dumps(row, ensure_ascii=False) + "\n").encode() for row in rows)
            return
        import pyarrow as pa
        import pyarrow.parquet as pq

        opened: list[Any] = []

        def write(rows: list[Row]) -> None:
            table = pa.Table.from_pylist(rows, schema=opened[0].schema if opened else schema_of(rows[0], pa))
            if not opened:
                opened.append(pq.ParquetWriter(handle, table.schema))
            opened[0].write_table(table)

        yield write
        for one in opened:
            one.close()


def schema_of(row: Row, pa: Any) -> Any:
    """Columns of the Parquet file."""
    if "score" in row:
        return pa.schema([("id", pa.string()), ("score", pa.float32())])
    return pa.schema([("id", pa.string()), ("label", pa.string()), ("scores", pa.map_(pa.string(), pa.float32()))])
