"""Scores and verdicts of NeMo Curator's filters, and texts of its modifiers, from a checkout of its Dask or Ray era.

python peer_nemo.py CHECKOUT < texts.jsonl > answers.jsonl
"""

import importlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import stubs

ABSENT = (
    "transformers",
    "platformdirs",
    "sentencepiece",
    "requests",
    "ray",
    "pandas",
    "dask",
    "numpy",
    "openai",
    "nemo_curator._compat",
    "nemo_curator.utils.distributed_utils",
    "nemo_curator.utils.decorators",
)
DASK = {"filters": "filters.heuristic_filter", "code": "filters.code", "modifiers": "modifiers"}
RAY = {
    "filters": "stages.text.filters.heuristic.string",
    "repetition": "stages.text.filters.heuristic.repetition.repetition",
    "code": "stages.text.filters.heuristic.code.code",
    "modifiers": "stages.text.modifiers",
}
FILTERS = [
    "NonAlphaNumeric",
    "SymbolsToWords",
    "Numbers",
    "Urls",
    "Bullets",
    "WhiteSpace",
    "Parentheses",
    "LongWord",
    "WordCount",
    "BoilerPlateString",
    "MeanWordLength",
    "RepeatedLines",
    "RepeatedParagraphs",
    "RepeatedLinesByChar",
    "RepeatedParagraphsByChar",
    "Punctuation",
    "Ellipsis",
    "WordsWithoutAlphabets",
    "PornographicUrls",
    "PythonCommentToCode",
    "NumberOfLinesOfCode",
    "XMLHeader",
    "Alpha",
    "HTMLBoilerplate",
]
MODIFIERS = (
    "newline_normalizer.NewlineNormalizer",
    "url_remover.UrlRemover",
    "quotation_remover.QuotationRemover",
    "markdown_remover.MarkdownRemover",
    "c4.BoilerPlateStringModifier",
)


def parts(checkout: Path) -> tuple[dict[str, Any], dict[str, Callable[[str], str]]]:
    """The filters and the modifiers of a checkout by name."""
    root = checkout / "nemo_curator"
    modern = (root / "stages").is_dir()
    for name in (
        "",
        *(
            [
                ".stages",
                ".stages.text",
                ".stages.text.filters",
                ".stages.text.modifiers",
                ".stages.text.filters.heuristic",
            ]
            if modern
            else [".filters", ".modifiers"]
        ),
    ):
        stubs.package(f"nemo_curator{name}", str(root / name.replace(".", "/").strip("/")))
    homes = RAY if modern else DASK
    if not modern:  # its modifiers import their base class from their package
        sys.modules["nemo_curator.modifiers"].DocumentModifier = type("DocumentModifier", (), {"_paragraphs": None})
    modules = [importlib.import_module(f"nemo_curator.{homes[key]}") for key in homes if key != "modifiers"]

    def find(name: str, *words: Any, **settings: Any) -> Any:
        return next(getattr(m, name) for m in modules if hasattr(m, name))(*words, **settings)

    filters = {name: find(f"{name}Filter") for name in FILTERS}
    filters["CommonEnglishWords"] = find("CommonEnglishWordsFilter", stop_at_false=False)
    filters |= {f"RepeatingTopNGrams{n}": find("RepeatingTopNGramsFilter", n=n) for n in (2, 3, 4)}
    filters |= {f"RepeatingDuplicateNGrams{n}": find("RepeatingDuplicateNGramsFilter", n=n) for n in range(2, 11)}
    modifiers = {}
    for path in MODIFIERS:
        module, _, name = path.partition(".")
        inside = f"nemo_curator.{homes['modifiers']}{'.string' if modern else ''}.{module}"
        if modern:
            stubs.package(f"nemo_curator.{homes['modifiers']}.string", str(root / "stages/text/modifiers/string"))
        modifiers[name] = getattr(importlib.import_module(inside), name)().modify_document
    return filters, modifiers


def answer(text: str, filters: dict[str, Any], modifiers: dict[str, Callable[[str], str]]) -> dict[str, Any]:
    """Score and verdict by filter, text by modifier; the exception's name where one fails."""
    found: dict[str, Any] = {}
    for name, each in filters.items():
        try:
            score = each.score_document(text)
            found[name] = [float(score), bool(each.keep_document(score))]
        except Exception as error:
            found[name] = type(error).__name__
    for name, modify in modifiers.items():
        try:
            found[name] = modify(text)
        except Exception as error:
            found[name] = [type(error).__name__]
    return found


def main(checkout: str) -> None:
    """Answer every text of standard input."""
    sys.path.insert(0, checkout)
    filters, modifiers = parts(Path(checkout))
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line), filters, modifiers)))


if __name__ == "__main__":
    stubs.leave_out(*ABSENT)
    main(sys.argv[1])
