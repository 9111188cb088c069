"""A large corpus made of real text, whose duplicates are known.

python benchmarks/curator/make_corpus.py OUTPUT GIGABYTES SOURCE...

Each SOURCE is a folder of real text: HTML pages, manual pages, plain text (on Debian: /usr/share/doc, /usr/share/man,
and whatever `apt-get download python3-doc debian-handbook manpages-de && dpkg -x` unpacks). Their paragraphs are the
material. A new document is some paragraphs in a new order, one word in eight replaced by another of the vocabulary,
so that two of them share few windows of 24 characters. Three documents in ten are copies of an earlier one, exact or
with one word in a hundred to one in twenty replaced. OUTPUT gets *.jsonl files of 64 MB with `id` and `text`, and
truth.parquet: the id of each document, that of the document it was copied from, and the share of words replaced.
"""

import gzip
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nemo_curator.extract.html import Extract, extract

FILE_BYTES = 64_000_000
COPIES = 0.3
RATES = (0.0, 0.0, 0.002, 0.005, 0.01, 0.02, 0.03)
FRESH_RATE = 0.125
MATERIAL_BYTES = 150_000_000
RECENT = 200_000


def texts(source: Path) -> Iterator[str]:
    """The plain text of every file that holds some."""
    for path in sorted(source.rglob("*")):
        if not path.is_file() or path.is_symlink() or path.stat().st_size > 5_000_000:
            continue
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        name = path.name.removesuffix(".gz").lower()
        if name.endswith((".html", ".htm")):
            yield extract(data, "utf-8", Extract())[0]
        elif re.search(r"\.[1-8][a-z]*$", name):
            yield re.sub(r'^[.\'].*$|\\f.|\\[-&"].*?', "", data.decode("utf-8", "replace"), flags=re.MULTILINE)
        elif name.endswith((".txt", ".rst", ".md")) or name in ("readme", "changelog", "copyright", "news"):
            yield data.decode("utf-8", "replace")


def material(sources: list[Path]) -> list[np.ndarray]:
    """Paragraphs of 20 words or more as arrays of words, each but once."""
    found: dict[str, np.ndarray] = {}
    size = 0
    for source in sources:
        for text in texts(source):
            for paragraph in re.split(r"\n\s*\n", text):
                words = paragraph.split()
                if 20 <= len(words) <= 2000 and paragraph not in found:
                    found[paragraph] = np.array(words, dtype=object)
                    size += len(paragraph)
            if size > MATERIAL_BYTES:
                return list(found.values())
    return list(found.values())


class Writer:
    """Documents as JSON lines in files of like size."""

    def __init__(self, output: Path) -> None:
        self._output, self._number, self._room = output, -1, 0
        output.mkdir(parents=True)

    def write(self, identity: str, text: str) -> int:
        """Append a document; its bytes."""
        line = json.dumps({"id": identity, "text": text}, ensure_ascii=False).encode() + b"\n"
        if self._room <= 0:
            self._number, self._room = self._number + 1, FILE_BYTES
        with open(self._output / f"{self._number:04d}.jsonl", "ab") as handle:
            handle.write(line)
        self._room -= len(line)
        return len(text.encode())


def changed(words: np.ndarray, rate: float, vocabulary: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The words, a share of them replaced by others."""
    count = random.binomial(len(words), rate)
    if not count:
        return words
    words = words.copy()
    words[random.integers(0, len(words), count)] = vocabulary[random.integers(0, len(vocabulary), count)]
    return words


def main() -> None:
    """Write the corpus and its truth."""
    output, gigabytes, sources = Path(sys.argv[1]), float(sys.argv[2]), [Path(word) for word in sys.argv[3:]]
    paragraphs = material(sources)
    vocabulary = np.array(sorted({word for words in paragraphs for word in words if len(word) < 30}), dtype=object)
    print(f"{len(paragraphs)} paragraphs, {len(vocabulary)} words", file=sys.stderr)
    random = np.random.default_rng(0)
    writer, recent, truth, written = Writer(output), [], [], 0
    while written < gigabytes * 1e9:
        identity = f"d{len(truth):08d}"
        if recent and random.random() < COPIES:
            original, seed = recent[random.integers(len(recent))]
            rate = RATES[random.integers(len(RATES))]
            words = changed(fresh(paragraphs, vocabulary, seed), rate, vocabulary, random)
            truth.append((identity, original, rate))
        else:
            seed = int(random.integers(1 << 60))
            words = fresh(paragraphs, vocabulary, seed)
            truth.append((identity, identity, 0.0))
            recent.append((identity, seed))
            if len(recent) > RECENT:
                recent[random.integers(len(recent) - 1)] = recent.pop()
        written += writer.write(identity, " ".join(words))
    columns = dict(zip(("id", "original", "rate"), map(list, zip(*truth, strict=True)), strict=True))
    pq.write_table(pa.table(columns), output.with_name(f"{output.name}-truth.parquet"))
    print(f"{len(truth)} documents, {written / 1e9:.2f} GB of text", file=sys.stderr)


def fresh(paragraphs: list[np.ndarray], vocabulary: np.ndarray, seed: int) -> np.ndarray:
    """The new document that belongs to a seed."""
    random = np.random.default_rng(seed)
    count = 1 + random.geometric(0.08)
    words = np.concatenate([paragraphs[i] for i in random.integers(0, len(paragraphs), count)])
    return changed(words, FRESH_RATE, vocabulary, random)


if __name__ == "__main__":
    main()
