"""Near duplicates and repeated passages that are known, beside what peers and nemo-curator find; two Markdown tables.

python duplicates.py PYTHON [PEER …], where PYTHON has the peers.
"""

import json
import random
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import texts as sources

from nemo_curator import curate

HERE = Path(__file__).parent
WORDS = re.compile(r"\S+")
MOST = 240  # originals
RATES = (0.01, 0.02, 0.04, 0.08, 0.16)  # words replaced in a copy
PEERS = ("datatrove", "datasketch", "rensa", "text-dedup")
OURS: dict[str, dict[str, Any]] = {
    "defaults: 20 x 13 of 24 characters": {},
    "`recall=0.95 jaccard=0.8`": {"recall": 0.95, "jaccard": 0.8},
    "the same, `verify=true`": {"recall": 0.95, "jaccard": 0.8, "verify": True},
    "`mode=fast recall=0.95 jaccard=0.8`": {"mode": "fast", "recall": 0.95, "jaccard": 0.8},
    "`shingle=words width=5 bands=14 rows=8`": {"shingle": "words", "width": 5, "bands": 14, "rows": 8},
    "the same, `jaccard=0.8 verify=true`": {
        "shingle": "words",
        "width": 5,
        "bands": 14,
        "rows": 8,
        "jaccard": 0.8,
        "verify": True,
    },
}


@dataclass(frozen=True)
class Corpus:
    """Documents; where each comes from, and the share of its words that was replaced."""

    texts: list[str]
    origins: list[int]
    rates: list[float]


def runs_of_five(text: str) -> set[str]:
    """Five words in a row, in lower case."""
    words = WORDS.findall(text.lower())
    return {" ".join(words[at : at + 5]) for at in range(len(words) - 4)}


def windows(text: str) -> set[str]:
    """24 characters in a row."""
    return {text[at : at + 24] for at in range(max(1, len(text) - 23))}


def originals() -> list[str]:
    """Real documents of 100 words or more that have next to nothing in common."""
    seen: set[str] = set()
    found = []
    for text in sources.real(least=600, each=60):
        runs = runs_of_five(text)
        if 100 <= len(runs) <= 4000 and len(runs & seen) < 0.05 * len(runs):
            found.append(text)
            seen |= runs
    return random.Random(3).sample(found, min(MOST, len(found)))


def edited(text: str, rate: float, draw: random.Random, vocabulary: list[str]) -> str:
    """The text with a share of its words replaced by others."""
    return WORDS.sub(lambda found: draw.choice(vocabulary) if draw.random() < rate else found[0], text)


def planted(seed: int = 5) -> Corpus:
    """Every original, and a copy of most at each of the rates."""
    draw = random.Random(seed)
    first = originals()
    vocabulary = sorted({word for text in first for word in WORDS.findall(text) if word.isalpha()})
    rows = [(text, number, 0.0) for number, text in enumerate(first)]
    rows += [
        (edited(text, rate, draw, vocabulary), number, rate) for number, text in enumerate(first) for rate in RATES
    ]
    head, tail = rows[: len(first)], rows[len(first) :]
    draw.shuffle(tail)
    return Corpus(*map(list, zip(*head, *tail, strict=True)))


def ask(python: str, peer: str, texts: list[str]) -> tuple[list[Any], float]:
    """The peer's answer and its CPU seconds."""
    asked = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    command = [python, str(HERE / "peer_duplicates.py"), peer]
    done = subprocess.run(command, input=asked, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    answer = json.loads(done.stdout.splitlines()[-1])
    return answer["answer"], answer["cpu_s"]


def grouped(texts: list[str], settings: dict[str, Any]) -> tuple[list[int], float]:
    """Our groups, and CPU seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "in.jsonl"
        source.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        begun = time.process_time()
        step = {"fuzzy_dedup": {**settings, "groups": True, "remove": False}}
        curate(source, folder / "out", pipeline=[step], workers=1)
        seconds = time.process_time() - begun
        groups = list(range(len(texts)))
        for part in sorted((folder / "out/groups").glob("*.parquet")):
            for row in pq.read_table(part).to_pylist():
                groups[number_of(row["id"])] = number_of(row["group"])
    return groups, seconds


def number_of(record_id: str) -> int:
    """The number of a record in its file."""
    return int(record_id.rpartition("#")[2])


def row(name: str, corpus: Corpus, groups: list[int], seconds: float) -> str:
    """How many copies of each rate are with their originals, how many documents with another's, and the time."""
    cells = []
    for rate in RATES:
        members = [at for at, each in enumerate(corpus.rates) if each == rate]
        cells.append(sum(groups[at] == groups[corpus.origins[at]] for at in members) / len(members))
    owners: dict[int, set[int]] = {}
    for group, origin in zip(groups, corpus.origins, strict=True):
        owners.setdefault(group, set()).add(origin)
    wrong = sum(len(each) - 1 for each in owners.values())
    return f"| {name} | {' | '.join(f'{cell:.0%}' for cell in cells)} | {wrong} | {seconds:.1f} |"


def exactly(corpus: Corpus, parts: Callable[[str], set[str]], least: float) -> list[int]:
    """Groups by the true Jaccard similarity of the parts of a copy and its original."""
    sets = [parts(text) for text in corpus.texts]
    pairs = ((at, origin) for at, origin in enumerate(corpus.origins))
    return [
        origin if len(sets[at] & sets[origin]) >= least * len(sets[at] | sets[origin]) else at for at, origin in pairs
    ]


def with_passages(seed: int = 9) -> Iterator[tuple[str, str]]:
    """Originals, and in every second one a passage of four sentences that eight of them share."""
    draw = random.Random(seed)
    first = [" ".join(text.split()) for text in originals()]
    words = sorted({word.lower() for text in first for word in WORDS.findall(text) if word.isalpha()})
    for number, text in enumerate(first):
        if number % 16 == 0:
            passage = " ".join(" ".join(draw.choices(words, k=12)).capitalize() + "." for _ in range(4))
        cut = text.find(". ", len(text) // 2) + 2
        inside = number % 2 == 0 and cut > 1
        yield (f"{text[:cut]}{passage} {text[cut:]}" if inside else text), (passage if inside else "")


def left_by_us(texts: list[str]) -> tuple[list[str], float]:
    """What our step leaves of each text."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
        begun = time.process_time()
        curate(
            folder / "in.jsonl", folder / "out", pipeline=[{"span_dedup": {"unit": "sentence", "window": 3}}], workers=1
        )
        seconds = time.process_time() - begun
        rows = [
            row for part in sorted((folder / "out/data").glob("*.parquet")) for row in pq.read_table(part).to_pylist()
        ]
    left = {number_of(each["id"]): each["text"] for each in rows}
    return [left.get(at, "") for at in range(len(texts))], seconds


def passages(name: str, planted: list[tuple[str, str]], left: list[str], seconds: float) -> str:
    """How many repeats of passages went, how many first ones stayed, and how much else went."""
    seen: set[str] = set()
    gone = repeats = stayed = 0
    lost = 0
    for (text, passage), kept in zip(planted, left, strict=True):
        inside = bool(passage) and passage in " ".join(kept.split())
        if passage and passage in seen:
            repeats += 1
            gone += not any(sentence in kept for sentence in passage.split(". ")[:3])
        elif passage:
            seen.add(passage)
            stayed += inside
        lost += max(0, len(text) - len(kept) - (0 if inside else len(passage)) - 2)
    total = sum(len(text) for text, _ in planted)
    return f"| {name} | {gone} of {repeats} | {stayed} of {len(seen)} | {lost / total:.2%} | {seconds:.1f} |"


def main(python: str, *peers: str) -> None:
    """Print the tables."""
    corpus = planted()
    size = sum(map(len, corpus.texts)) / 1e6
    print(f"{len(corpus.texts)} documents, {size:.1f} MB; copies with a share of words replaced, found\n")
    heads = " | ".join(f"{rate:.1%}" for rate in RATES)
    print(f"| | {heads} | united wrongly | CPU s |\n|---|{'---|' * (len(RATES) + 2)}")
    for name, parts in (("5 words", runs_of_five), ("24 characters", windows)):
        print(row(f"{name}, true Jaccard from 0.8", corpus, exactly(corpus, parts, 0.8), 0))
    for name, settings in OURS.items():
        print(row(name, corpus, *grouped(corpus.texts, settings)), flush=True)
    for peer in peers or PEERS:
        print(row(peer, corpus, *ask(python, peer, corpus.texts)), flush=True)
    pieces = list(with_passages())
    texts = [text for text, _ in pieces]
    print("\n| | repeats gone | first ones kept | other text lost | CPU s |\n|---|---|---|---|---|")
    print(passages("`span_dedup: {unit: sentence, window: 3}`", pieces, *left_by_us(texts)))
    print(passages("datatrove, three sentences", pieces, *ask(python, "datatrove-sentences", texts)))


if __name__ == "__main__":
    main(*sys.argv[1:])
