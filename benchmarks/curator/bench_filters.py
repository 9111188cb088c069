"""Megabytes of text per second of CPU time: heuristic filters beside datatrove's, and the other steps on text.

python benchmarks/curator/bench_filters.py [documents.jsonl]      (default: the documentation of this Python)

datatrove asks spaCy for words; where that is not installed it is given our own tokens, made beforehand, so that its
figure leaves its tokenizer out and is an upper bound.
"""

import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
from bench_stages import Extract, extract, megabytes, python_pages, rate

from nemo_curator.decontaminate.index import words_of
from nemo_curator.filter.c4_lines import C4Lines, look
from nemo_curator.filter.scores import registry
from nemo_curator.filter.thresholds import Quality
from nemo_curator.kernels.tokens import split_tokens
from nemo_curator.redact.settings import Redact
from nemo_curator.redact.step import finder


def tokens(text: str) -> list[str]:
    """Our tokens of a text."""
    data = np.frombuffer(text.encode(), np.uint8)
    found = split_tokens(data)
    return [data[start:end].tobytes().decode() for start, end in zip(found.starts, found.ends, strict=True)]


def datatrove_rows(texts: list[str]) -> list[tuple[str, float]]:
    """datatrove's own filters on a part of the texts."""
    from datatrove.data import Document
    from datatrove.pipeline import filters
    from datatrove.pipeline.filters import fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter

    few = [text for text in texts[:: max(1, len(texts) // 400)] if tokens(text)]
    label = "datatrove, spaCy"
    if find_spec("spacy") is None:
        ready = {text: tokens(text) for text in few}
        for module in (fineweb_quality_filter, gopher_quality_filter, gopher_repetition_filter):
            module.split_into_words = lambda text, _: ready[text]
        label = "datatrove, tokens for free"
    chain = (filters.GopherQualityFilter(), filters.GopherRepetitionFilter(), filters.FineWebQualityFilter())

    def work() -> None:
        for text in few:
            for each in chain:
                each.filter(Document(text=text, id="0"))

    def gopher() -> None:
        for text in few:
            for each in chain[:2]:
                each.filter(Document(text=text, id="0"))

    size = megabytes(few)
    return [(f"Gopher, {label}", rate(gopher, size)), (f"Gopher and FineWeb, {label}", rate(work, size))]


def main() -> None:
    """Print one line per filter."""
    if len(sys.argv) > 1:
        texts = [msgspec.json.decode(line)["text"] for line in Path(sys.argv[1]).read_bytes().splitlines()]
    else:
        texts = [extract(page, "utf-8", Extract())[0] for page in python_pages()]
    texts = [text for text in texts if text.strip()]
    size, documents = megabytes(texts), pa.table({"text": texts})
    find, lines = finder(Redact()), C4Lines()
    print(f"{len(texts)} documents, {size:.1f} MB")
    names = ("gopher", "gopher-datatrove", "fineweb", "nemo", "c4", "data-juicer")
    rows = [(f"preset {name}", rate(partial(Quality(preset=name).open(), documents), size)) for name in names]
    for family in ("gopher", "datatrove", "characters", "nemo_lines", "nemo_repetition", "urls"):
        wanted = list(registry.family(family).scores)
        rows.append((f"scores: {family}", rate(partial(registry.compute, documents, wanted), size)))
    rows += [
        ("C4 lines", rate(lambda: [look(text, lines) for text in texts], size)),
        ("redact, all kinds", rate(lambda: [find(text) for text in texts], size)),
        ("words for decontamination", rate(lambda: [words_of(text) for text in texts], size)),
    ]
    if find_spec("datatrove") is not None:
        rows += datatrove_rows(texts)
    for name, speed in rows:
        print(f"{name:<46} {speed:9.2f} MB/s")


if __name__ == "__main__":
    main()
