"""What each peer calls a filter, and the thresholds of ours that say the same, with the peer's default limits."""

from dataclasses import dataclass, field
from typing import Any

from nemo_curator.filter.presets import GOPHER, PRESETS


@dataclass(frozen=True, kw_only=True)
class Peer:
    """How to ask a peer, whose definitions of ours to take, and its filters as ours."""

    title: str
    runner: str
    definitions: str
    filters: dict[str, dict[str, float]]
    modifiers: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)


NEMO_FILTERS: dict[str, dict[str, float]] = {
    "NonAlphaNumeric": {"max_non_alphanumeric": 0.25},
    "SymbolsToWords": {"max_symbols_per_word": 0.1},
    "Numbers": {"max_digits": 0.15},
    "Urls": {"max_url_characters": 0.2},
    "Bullets": {"max_bullet_lines": 0.9},
    "WhiteSpace": {"max_white_space": 0.25},
    "Parentheses": {"max_parentheses": 0.1},
    "LongWord": {"max_word_length": 1000},
    "WordCount": {"min_words": 50, "max_words": 100_000},
    "BoilerPlateString": {"max_boilerplate_paragraphs": 0.4},
    "MeanWordLength": {"min_mean_word_length": 3, "max_mean_word_length": 10},
    "RepeatedLines": {"min_unique_lines": 0.7},
    "RepeatedParagraphs": {"min_unique_paragraphs": 0.7},
    "RepeatedLinesByChar": {"min_unique_line_characters": 0.8},
    "RepeatedParagraphsByChar": {"min_unique_paragraph_characters": 0.8},
    "Punctuation": {"max_lines_without_end_mark": 0.85},
    "Ellipsis": {"max_ellipsis_lines": 0.3},
    "CommonEnglishWords": {"min_stop_words": 2},
    "WordsWithoutAlphabets": {"min_alphabetic_words": 0.8},
    "PornographicUrls": {"max_pornographic_urls": 0},
    "PythonCommentToCode": {"min_comments": 0.01, "max_comments": 0.85},
    "NumberOfLinesOfCode": {"min_lines": 10, "max_lines": 20_000},
    "XMLHeader": {"max_xml_header": 0},
    "Alpha": {"min_alphabetic_characters": 0.25},
    "HTMLBoilerplate": {"min_visible_text": 0.2},
    **{f"RepeatingTopNGrams{n}": {f"max_top_{n}_gram": 0.2} for n in (2, 3, 4)},
    **{f"RepeatingDuplicateNGrams{n}": {f"max_duplicate_{n}_grams": 0.2} for n in range(5, 11)},
}
NEMO_MODIFIERS: dict[str, tuple[str, dict[str, Any]]] = {
    "NewlineNormalizer": ("NormalizeNewlines", {}),
    "UrlRemover": ("RemoveUrls", {}),
    "QuotationRemover": ("RemoveOuterQuotes", {}),
    "MarkdownRemover": ("RemoveMarkdown", {}),
    "BoilerPlateStringModifier": ("RemoveBoilerplate", {}),
}
PEERS = {
    "dask": Peer(
        title="NeMo Curator 0.9 (Dask)",
        runner="peer_nemo.py",
        definitions="nemo",
        filters=NEMO_FILTERS,
        modifiers=NEMO_MODIFIERS,
    ),
    "ray": Peer(
        title="NeMo Curator 1.4 (Ray)",
        runner="peer_nemo.py",
        definitions="nemo",
        filters=NEMO_FILTERS,
        modifiers=NEMO_MODIFIERS,
    ),
    "data-juicer": Peer(
        title="data-juicer 1.6",
        runner="peer_data_juicer.py",
        definitions="data-juicer",
        filters={
            "alphanumeric": {"min_alphanumeric_characters": 0.25},
            "average_line_length": {"min_mean_line_length": 10},
            "character_repetition": {"max_character_repetition": 0.5},
            "maximum_line_length": {"min_longest_line": 10},
            "special_characters": {"max_special_characters": 0.25},
            "text_length": {"min_characters": 10},
            "word_repetition": {"max_word_repetition": 0.5},
            "words_num": {"min_words": 10},
            "stopwords": {"min_stop_word_share": 0.3},
        },
        modifiers={
            "remove_repeat_sentences": ("RemoveRepeatedSentences", {}),
            "remove_long_words": ("RemoveWords", {"shortest": 1, "longest": 12}),
            "remove_words_with_incorrect_substrings": (
                "RemoveWords",
                {"containing": ["http", "www", ".com", "href", "//"]},
            ),
            "remove_specific_chars": ("RemoveCharacters", {}),
            "punctuation_normalization": ("NormalizePunctuation", {}),
            "clean_copyright": ("RemoveCopyright", {}),
        },
    ),
    "datatrove": Peer(
        title="datatrove 0.10, words by spaCy",
        runner="peer_datatrove.py",
        definitions="datatrove",
        filters={
            "GopherQuality": {k: v for k, v in GOPHER.items() if "gram" not in k and "duplicate" not in k},
            "GopherRepetition": {k: v for k, v in GOPHER.items() if "gram" in k or "duplicate" in k},
            "FineWebQuality": {k: v for k, v in PRESETS["fineweb"].limits.items() if k not in GOPHER},
        },
    ),
    "dolma": Peer(
        title="dolma 1.2",
        runner="peer_dolma.py",
        definitions="paper",
        filters={
            "word_count": {"min_words": 50, "max_words": 100_000},
            "words_with_alpha": {"min_alphabetic_words": 0.8},
        },
    ),
}
