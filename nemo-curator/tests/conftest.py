"""A small real corpus that several test modules curate."""

from pathlib import Path

import pytest

from nemo_curator.testing.corpora import prose, write_jsonl


@pytest.fixture
def corpus(tmp_path) -> Path:
    """Six files of good prose, with an exact and a near duplicate across files, and one document too short."""
    folder = tmp_path / "corpus"
    for file in range(6):
        rows = [{"id": f"own-{file}-{n}", "text": prose(20 * file + n), "title": f"T{n}"} for n in range(20)]
        if file == 4:
            rows += [
                {"text": prose(3)},
                {"text": prose(5) + " And that was that."},
                {"text": "This is too short to be of any use to the town."},
            ]
        write_jsonl(folder / f"{file}.jsonl", rows)
    return folder
