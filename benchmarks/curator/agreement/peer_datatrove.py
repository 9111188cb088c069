"""Verdicts of datatrove's Gopher and FineWeb filters with its own words (spaCy).

python peer_datatrove.py < texts.jsonl > answers.jsonl
"""

import json
import sys

from datatrove.data import Document
from datatrove.pipeline.filters import FineWebQualityFilter, GopherQualityFilter, GopherRepetitionFilter

FILTERS = {
    "GopherQuality": GopherQualityFilter,
    "GopherRepetition": GopherRepetitionFilter,
    "FineWebQuality": FineWebQualityFilter,
}


def main() -> None:
    """Answer every text of standard input."""
    filters = {name: kind() for name, kind in FILTERS.items()}
    for line in sys.stdin:
        answers = {}
        for name, each in filters.items():
            try:
                answers[name] = [None, each.filter(Document(text=json.loads(line), id="0")) is True]
            except Exception as error:
                answers[name] = type(error).__name__
        print(json.dumps(answers))


if __name__ == "__main__":
    main()
