"""Scores and verdicts of data-juicer's text filters, and texts of its mappers, from an installed py-data-juicer.

What it depends on need not be there.

python peer_data_juicer.py < texts.jsonl > answers.jsonl
"""

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import stubs

ABSENT = [
    "PIL",
    "av",
    "cv2",
    "datasets",
    "dill",
    "fsspec",
    "httpx",
    "jsonargparse",
    "librosa",
    "multiprocess",
    "networkx",
    "nltk",
    "pandas",
    "psutil",
    "pyarrow",
    "ray",
    "requests",
    "samplerate",
    "scipy",
    "tabulate",
    "torch",
    "tqdm",
    "uv",
    "wandb",
    "zstandard",
    "loguru",
    "yaml",
    "huggingface_hub",
    "data_juicer.utils.model_utils",
    "data_juicer.utils.mm_utils",
    "data_juicer.utils.process_utils",
    "data_juicer.utils.ray_utils",
    "data_juicer.utils.resource_utils",
    "data_juicer.core",
    "data_juicer.utils.lazy_loader",
    "data_juicer.utils.asset_utils",
    "data_juicer.ops.op_env",
    "data_juicer.ops.op_fusion",
]
FILTERS = {
    "alphanumeric": "alnum_ratio",
    "average_line_length": "avg_line_length",
    "character_repetition": "char_rep_ratio",
    "maximum_line_length": "max_line_length",
    "special_characters": "special_char_ratio",
    "text_length": "text_len",
    "word_repetition": "word_rep_ratio",
    "words_num": "num_words",
    "stopwords": "stopwords_ratio",
    "flagged_words": "flagged_words_ratio",
}
MAPPERS: dict[str, dict[str, Any]] = {
    "remove_repeat_sentences": {"min_repeat_sentence_length": 20, "lowercase": True},
    "remove_long_words": {"max_len": 12},
    "remove_words_with_incorrect_substrings": {},
    "remove_specific_chars": {},
    "punctuation_normalization": {},
    "clean_copyright": {},
}


def operators() -> tuple[dict[str, Any], dict[str, Any]]:
    """The filters by name, with their defaults but for the lists of words, which are ours; and the mappers."""
    spec = importlib.util.find_spec("data_juicer")
    assert spec and spec.submodule_search_locations, "install py-data-juicer first (pip install --no-deps)"
    root = Path(next(iter(spec.submodule_search_locations)))
    for name in ("", ".ops", ".ops.filter", ".ops.mapper", ".utils"):
        stubs.package(f"data_juicer{name}", str(root / name.replace(".", "/").strip("/")))
    models = sys.modules["data_juicer.utils.model_utils"] = stubs.Empty("data_juicer.utils.model_utils")
    models.get_model = lambda *_, **__: None  # type: ignore[attr-defined]  # else an empty one would cut the words
    sys.modules["data_juicer"].cuda_device_count = lambda: 0
    filters = {name: kind(f"data_juicer.ops.filter.{name}_filter")() for name in FILTERS}
    return filters, {name: kind(f"data_juicer.ops.mapper.{name}_mapper")(**MAPPERS[name]) for name in MAPPERS}


def kind(name: str) -> Any:
    """The class that a module defines."""
    module = importlib.import_module(name)
    (found,) = [v for k, v in vars(module).items() if isinstance(v, type) and v.__module__ == module.__name__]
    return found


def answer(text: str, filters: dict[str, Any], mappers: dict[str, Any]) -> dict[str, Any]:
    """Score and verdict by filter, text by mapper."""
    found: dict[str, Any] = {
        name: mapper.process_batched({"text": [text]})["text"][0] for name, mapper in mappers.items()
    }
    for name, operator in filters.items():
        if hasattr(operator, "compute_stats_batched") and getattr(operator, "_batched_op", False):
            samples = operator.compute_stats_batched({"text": [text], "__dj__stats__": [{}]})
            stats = samples["__dj__stats__"][0]
            verdict = next(iter(operator.process_batched(samples)))
        else:
            sample = operator.compute_stats_single({"text": text, "__dj__stats__": {}})
            stats, verdict = sample["__dj__stats__"], operator.process_single(sample)
        found[name] = [float(stats[FILTERS[name]]), bool(verdict)]
    return found


def main(words: str) -> None:
    """Answer every text of standard input; `words` is a file of stop words, which are flagged ones, too."""
    filters, mappers = operators()
    listed = {line for line in Path(words).read_text(encoding="utf-8").splitlines() if line and line[0] != "#"}
    filters["stopwords"].STOPWORDS = filters["flagged_words"].FLAGGED_WORDS = {"en": listed}
    for operator in filters.values():
        operator.model_key = None
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), filters, mappers)))


if __name__ == "__main__":
    stubs.leave_out(*ABSENT)
    main(sys.argv[1])
