"""Attributes of dolma's Gopher tagger, as far as its definitions are those of the paper.

python peer_dolma.py < texts.jsonl > answers.jsonl
"""

import importlib
import importlib.util
import json
import sys
from pathlib import Path

import stubs


def main() -> None:
    """Answer every text of standard input."""
    spec = importlib.util.find_spec("dolma")
    assert spec and spec.submodule_search_locations, "install dolma first (pip install --no-deps)"
    root = Path(next(iter(spec.submodule_search_locations)))
    stubs.package("dolma", str(root))
    stubs.package("dolma.taggers", str(root / "taggers"))
    gopher = importlib.import_module("dolma.taggers.gopher")
    for line in sys.stdin:
        found = gopher.get_attributes(json.loads(line))
        words, letters = found.word_count, found.fraction_of_words_with_alpha_character
        required = found.required_word_count
        print(
            json.dumps(
                {
                    "word_count": [words, 50 <= words <= 100_000],
                    "words_with_alpha": [letters, letters >= 0.8],
                    "required_words": [required, required >= 2],
                }
            )
        )


if __name__ == "__main__":
    stubs.leave_out("dolma.core")
    main()
