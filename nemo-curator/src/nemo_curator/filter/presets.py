"""Named sets of limits, each with the definitions of its source: how words, lines and shares are counted.

A document is at fault strictly beyond a limit, in every preset.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Definitions = Literal["paper", "datatrove", "nemo", "data-juicer"]
NGRAMS = {
    "max_top_2_gram": 0.20,
    "max_top_3_gram": 0.18,
    "max_top_4_gram": 0.16,
    **{f"max_duplicate_{n}_grams": round(0.20 - n / 100, 2) for n in range(5, 11)},
}
GOPHER = {
    "min_words": 50,
    "max_words": 100_000,
    "min_mean_word_length": 3,
    "max_mean_word_length": 10,
    "max_symbols_per_word": 0.1,
    "max_bullet_lines": 0.9,
    "max_ellipsis_lines": 0.3,
    "min_alphabetic_words": 0.8,
    "min_stop_words": 2,
    "max_duplicate_lines": 0.3,
    "max_duplicate_line_characters": 0.2,
    "max_duplicate_paragraphs": 0.3,
    "max_duplicate_paragraph_characters": 0.2,
    **NGRAMS,
}


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Limits by threshold, the definitions that their scores have, and where both come from."""

    about: str
    definitions: Definitions = "paper"
    limits: Mapping[str, float] = field(default_factory=dict)


PRESETS: dict[str, Preset] = {
    "gopher": Preset(
        about="quality and repetition rules of Gopher (Rae et al. 2021); words are cut at white space",
        limits=GOPHER,
    ),
    "gopher-datatrove": Preset(
        about="the same limits as datatrove 0.10 applies them; words as a linguist's tokenizer cuts them",
        definitions="datatrove",
        limits=GOPHER,
    ),
    "fineweb": Preset(
        about="FineWeb's own rules behind Gopher's (Penedo et al. 2024); put c4_lines: {end_marks: false} before it",
        definitions="datatrove",
        limits={
            **GOPHER,
            "min_punctuated_lines": 0.12,
            "max_short_lines": 0.67,
            "max_repeated_line_characters": 0.01,
            "max_newlines_per_word": 0.3,
        },
    ),
    "c4": Preset(
        about="page rules of C4 (Raffel et al. 2020); put c4_lines before it to remove lines as well",
        limits={"min_sentences": 5, "max_lorem_ipsum": 0, "max_curly_brackets": 0},
    ),
    "mc4": Preset(
        about="three lines of 200 characters (Xue et al. 2021, mT5, section 3.1)",
        limits={"min_third_longest_line": 200},
    ),
    "nemo": Preset(
        about="the English recipe of NeMo Curator 0.9, in its definitions; words are cut at white space",
        definitions="nemo",
        limits={
            "max_non_alphanumeric": 0.25,
            "max_symbols_per_word": 0.1,
            "max_digits": 0.15,
            "max_url_characters": 0.2,
            "max_white_space": 0.25,
            "max_parentheses": 0.1,
            "max_boilerplate_paragraphs": 0.4,
            "min_unique_lines": 0.7,
            "min_unique_paragraphs": 0.7,
            "min_unique_line_characters": 0.8,
            "min_unique_paragraph_characters": 0.8,
            "min_words": 50,
            "max_words": 100_000,
            "max_lines_without_end_mark": 0.85,
            "min_alphabetic_words": 0.8,
            "min_stop_words": 2,
            "min_mean_word_length": 3,
            "max_mean_word_length": 10,
            "max_word_length": 1000,
            "max_ellipsis_lines": 0.3,
            "max_bullet_lines": 0.9,
            **NGRAMS,
        },
    ),
    "code": Preset(
        about="the code recipe of NeMo Curator 0.9 without a tokenizer, with StarCoder's rules; comments are Python's",
        limits={
            "min_comments": 0.001,
            "max_comments": 0.85,
            "min_lines": 5,
            "max_lines": 20_000,
            "min_alphabetic_characters": 0.25,
            "max_xml_header": 0,
            "max_longest_line": 1000,
            "max_mean_line_length": 100,
        },
    ),
    "data-juicer": Preset(
        about="defaults of data-juicer's operators; your own list, tokenizer and n-gram model add the rest",
        definitions="data-juicer",
        limits={
            "min_characters": 10,
            "min_words": 10,
            "min_alphanumeric_characters": 0.25,
            "max_special_characters": 0.25,
            "max_character_repetition": 0.5,
            "max_word_repetition": 0.5,
            "min_stop_word_share": 0.3,
            "min_mean_line_length": 10,
            "min_longest_line": 10,
        },
    ),
    "none": Preset(about="no limit but those that you set"),
}

DEFINED: dict[str, dict[str, str]] = {
    "paper": {},
    "datatrove": {
        name: f"datatrove_{name}"
        for name in (
            "words",
            "mean_word_length",
            "symbols_per_word",
            "bullet_lines",
            "ellipsis_lines",
            "alphabetic_words",
            "stop_words",
            "duplicate_lines",
            "duplicate_line_characters",
            "duplicate_paragraphs",
            "duplicate_paragraph_characters",
            *(f"top_{n}_gram" for n in (2, 3, 4)),
            *(f"duplicate_{n}_grams" for n in range(5, 11)),
        )
    },
    "nemo": {
        name: f"nemo_{name}"
        for name in (
            "symbols_per_word",
            "bullet_lines",
            "ellipsis_lines",
            "stop_words",
            *(f"top_{n}_gram" for n in (2, 3, 4)),
            *(f"duplicate_{n}_grams" for n in range(5, 11)),
        )
    },
    "data-juicer": {
        "words": "data_juicer_words",
        "mean_line_length": "data_juicer_mean_line_length",
        "longest_line": "data_juicer_longest_line",
    },
}
