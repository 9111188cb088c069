"""Ask a peer and nemo-curator about the same texts, and say where they differ.

python compare.py PEER PYTHON [WORD …], where PYTHON runs the peer's runner with these words; see README.md.
"""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import texts as sources
from pairs import PEERS, Peer

from nemo_curator.clean import modifiers
from nemo_curator.filter.rules import RULES
from nemo_curator.filter.scores import registry
from nemo_curator.filter.thresholds import Quality

HERE = Path(__file__).parent
GROUPS = {
    "odd": list(sources.ODD),
    "mixed": list(sources.mixtures(1500, seed=7)),
    "real": sources.real(),
}


def ask(peer: Peer, texts: list[str], command: list[str]) -> list[dict[str, Any]]:
    """The peer's answers."""
    asked = "".join(json.dumps(text) + "\n" for text in texts)
    words = [command[0], str(HERE / peer.runner), *command[1:]]
    done = subprocess.run(words, input=asked, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return [json.loads(line) for line in done.stdout.splitlines()]


def judged(peer: Peer, texts: list[str]) -> dict[str, list[tuple[list[float], bool]]]:
    """Our scores and verdicts for each of the peer's filters."""
    documents = pa.table({"text": pa.array(texts, pa.string())})
    found = {}
    for name, limits in peer.filters.items():
        settings = Quality(preset="none", definitions=peer.definitions, **limits)
        rules = [rule for rule in RULES if rule.threshold in limits]
        scores = registry.compute(documents, [settings.score_of(rule.score) for rule in rules])
        faults = [rule.at_fault(scores[settings.score_of(rule.score)], limits[rule.threshold]) for rule in rules]
        (values,) = scores.values()
        found[name] = [(float(v), not any(f[i] for f in faults)) for i, v in enumerate(values)]
    return found


def main(name: str, *command: str) -> None:
    """Print a row for every filter and modifier of the peer, and examples of differences."""
    peer = PEERS[name]
    for group, texts in GROUPS.items():
        answers = ask(peer, texts, list(command))
        ours = judged(peer, texts)
        for part in peer.filters:
            tally, examples = Counter(), []
            for text, theirs, (value, stays) in zip(texts, (a[part] for a in answers), ours[part], strict=True):
                kind = compare(theirs, value, stays)
                tally[kind] += 1
                if kind in ("verdict", "score"):
                    examples.append((kind, text[:120], theirs, (value, stays)))
            print(group, part, dict(tally))
            for each in sorted(examples, key=lambda e: e[0] != "verdict")[:3]:
                print("    ", each)
        for part, (ours_name, settings) in peer.modifiers.items():
            modifier = getattr(modifiers, ours_name)(**settings)
            pairs = [(t, a[part], modifier.rewrite(t)) for t, a in zip(texts, answers, strict=True)]
            differing = [p for p in pairs if p[1] != p[2]]
            print(group, part, {"same": len(pairs) - len(differing), "text": len(differing)})
            for each in differing[:4]:
                print("    ", *(repr(w[:150] if isinstance(w, str) else w) for w in each), sep="\n        ")


def compare(theirs: Any, value: float, stays: bool) -> str:
    """Whether score and verdict are the same."""
    if isinstance(theirs, str):
        return f"peer fails: {theirs}, ours {'keeps' if stays else 'drops'}"
    if theirs[1] != stays:
        return "verdict"
    return "same" if abs(theirs[0] - value) < 1e-9 else "score"


if __name__ == "__main__":
    main(*sys.argv[1:])
