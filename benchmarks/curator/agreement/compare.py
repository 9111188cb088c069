"""Ask a peer and nemo-curator about the same texts; print a Markdown table of agreement, or where they differ.

python compare.py PEER PYTHON [WORD …] [--examples N], where PYTHON runs the peer's runner with these words.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import texts as sources
from pairs import PEERS, Peer

from nemo_curator.clean import modifiers, pieces
from nemo_curator.filter.rules import RULES
from nemo_curator.filter.scores import registry
from nemo_curator.filter.thresholds import Quality

HERE = Path(__file__).parent
SEEDS = ("0", "1", "2")  # of Python's hashes: what differs between them, the peer leaves to chance
TINY = 1e-9
Case = tuple[str, str, Any, Any]  # kind of agreement, text, the peer's answer, ours


def ask(peer: Peer, texts: list[str], command: list[str], seed: str) -> list[dict[str, Any]]:
    """The peer's answers."""
    asked = "".join(json.dumps(text) + "\n" for text in texts)
    words = [command[0], str(HERE / peer.runner), *command[1:]]
    env = {**os.environ, "PYTHONHASHSEED": seed}
    done = subprocess.run(words, input=asked, capture_output=True, text=True, check=False, env=env)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return [json.loads(line) for line in done.stdout.splitlines()]


def judged(peer: Peer, part: str, texts: list[str]) -> list[tuple[float, bool]]:
    """Our scores, and whether documents stay, for one of the peer's filters."""
    documents = pa.table({"text": pa.array(texts, pa.string())})
    limits = peer.filters[part]
    settings = Quality(preset="none", definitions=peer.definitions, **limits)
    rules = [rule for rule in RULES if rule.threshold in limits]
    scores = registry.compute(documents, [settings.score_of(rule.score) for rule in rules])
    faults = [rule.at_fault(scores[settings.score_of(rule.score)], limits[rule.threshold]) for rule in rules]
    return [
        (float(value), not any(fault[row] for fault in faults)) for row, value in enumerate(next(iter(scores.values())))
    ]


def of_filter(peer: Peer, part: str, texts: list[str], answers: list[list[dict[str, Any]]]) -> Iterator[Case]:
    """How one filter agrees on every text."""
    for row, (text, ours) in enumerate(zip(texts, judged(peer, part, texts), strict=True)):
        theirs = [each[row][part] for each in answers]
        yield compare(theirs, ours), text, theirs[0], ours


def compare(theirs: list[Any], ours: tuple[float, bool]) -> str:
    """Whether score and verdict are the same."""
    if isinstance(theirs[0], str):
        return "fails"
    if any(each != theirs[0] for each in theirs):
        return "chance"
    if theirs[0][1] != ours[1]:
        return "verdict"
    return "same" if theirs[0][0] is None or abs(theirs[0][0] - ours[0]) < TINY else "score"


def of_modifier(peer: Peer, part: str, texts: list[str], answers: list[list[dict[str, Any]]]) -> Iterator[Case]:
    """How one modifier agrees on every text: in words, and in blanks, too."""
    name, settings = peer.modifiers[part]
    modifier = getattr(modifiers if hasattr(modifiers, name) else pieces, name)(**settings)
    for text, answer in zip(texts, answers[0], strict=True):
        ours = modifier.rewrite(text)
        alike = "score" if answer[part].split() == ours.split() else "verdict"
        yield "same" if answer[part] == ours else alike, text, answer[part], ours


def main(name: str, *words: str) -> None:
    """Print a row for every filter and modifier of the peer, and examples of differences."""
    peer, command, examples = PEERS[name], list(words), 0
    if "--examples" in command:
        at = command.index("--examples")
        examples = int(command[at + 1])
        del command[at : at + 2]
    texts = [*sources.ODD, *sources.mixtures(1500, seed=7), *sources.real()]
    answers = [ask(peer, texts, command, seed) for seed in SEEDS]
    print(f"{peer.title}: {len(texts)} texts\n")
    print("| theirs | ours | same verdict | same score, too | it fails | left to chance |\n|---|---|---|---|---|---|")
    for part in [*peer.filters, *peer.modifiers]:
        compared = (of_filter if part in peer.filters else of_modifier)(peer, part, texts, answers)
        show(part, list(peer.filters.get(part, [])) or [peer.modifiers[part][0]], list(compared), examples)


def show(part: str, ours: list[str], cases: list[Case], examples: int) -> None:
    """Print one row, and the first differences."""
    tally = Counter(kind for kind, *_ in cases)
    rest = len(cases) - tally["fails"] - tally["chance"]
    named = ", ".join(f"`{each}`" for each in ours[:2]) + (" …" if len(ours) > 2 else "")
    equal = f"{rest - tally['verdict']} of {rest}"
    print(f"| {part} | {named} | {equal} | {tally['same']} | {tally['fails'] or '-'} | {tally['chance'] or '-'} |")
    for _, text, theirs, mine in [case for case in cases if case[0] in ("verdict", "score")][:examples]:
        print("   ", repr(text[:100]), str(theirs)[:100], str(mine)[:100])


if __name__ == "__main__":
    main(*sys.argv[1:])
