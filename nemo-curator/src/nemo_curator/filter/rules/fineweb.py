"""The rules that FineWeb adds to those of Gopher and C4 (Penedo et al. 2024, *The FineWeb Datasets*, section 3.6)."""

from .registry import Mask, Scores, rule


@rule(score="punctuated_lines", threshold="min_punctuated_lines")
def too_few_punctuated_lines(score: Scores, minimum: float) -> Mask:
    """Share of lines that end a sentence below `minimum` (FineWeb: 0.12)."""
    return score < minimum


@rule(score="short_lines", threshold="max_short_lines")
def too_many_short_lines(score: Scores, maximum: float) -> Mask:
    """Share of lines of at most 30 characters above `maximum` (FineWeb: 0.67)."""
    return score > maximum


@rule(score="repeated_line_characters", threshold="max_repeated_line_characters")
def too_much_text_in_repeated_lines(score: Scores, maximum: float) -> Mask:
    """Share of characters in lines that repeat an earlier one above `maximum` (FineWeb: 0.01)."""
    return score > maximum


@rule(score="newlines_per_word", threshold="max_newlines_per_word")
def too_many_newlines(score: Scores, maximum: float) -> Mask:
    """More newlines per word than `maximum` (FineWeb: 0.3)."""
    return score > maximum
