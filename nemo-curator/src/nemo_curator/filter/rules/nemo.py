"""The rules that NeMo Curator 0.9 has beside Gopher's, in its own definitions."""

from .registry import Mask, Scores, rule


@rule(score="non_alphanumeric", threshold="max_non_alphanumeric")
def too_many_symbol_characters(score: Scores, maximum: float) -> Mask:
    """Share of characters beyond a-z, 0-9, newline and ?!,. above `maximum` (NeMo Curator, after Gopher: 0.25)."""
    return score > maximum


@rule(score="digits", threshold="max_digits")
def too_many_digits(score: Scores, maximum: float) -> Mask:
    """Share of decimal digits above `maximum` (NeMo Curator: 0.15, where only 0-9 are digits)."""
    return score > maximum


@rule(score="url_characters", threshold="max_url_characters")
def too_many_urls(score: Scores, maximum: float) -> Mask:
    """Share of characters in http(s) addresses above `maximum` (NeMo Curator: 0.2)."""
    return score > maximum


@rule(score="pornographic_urls", threshold="max_pornographic_urls")
def pornographic_urls(score: Scores, maximum: float) -> Mask:
    """More addresses with "porn" in them than `maximum` (NeMo Curator: 0)."""
    return score > maximum


@rule(score="white_space", threshold="max_white_space")
def too_much_white_space(score: Scores, maximum: float) -> Mask:
    """Share of blanks, tabs, newlines and the like above `maximum` (NeMo Curator: 0.25)."""
    return score > maximum


@rule(score="parentheses", threshold="max_parentheses")
def too_many_parentheses(score: Scores, maximum: float) -> Mask:
    """Share of round, square, curly and angle brackets above `maximum` (NeMo Curator: 0.1)."""
    return score > maximum


@rule(score="longest_word", threshold="max_word_length")
def word_too_long(score: Scores, maximum: float) -> Mask:
    """A word longer than `maximum` characters (NeMo Curator, after C4: 1000)."""
    return score > maximum


@rule(score="boilerplate_paragraphs", threshold="max_boilerplate_paragraphs")
def too_much_boilerplate(score: Scores, maximum: float) -> Mask:
    """Share of paragraphs with cookie or policy phrases above `maximum` (NeMo Curator, after C4: 0.4)."""
    return score > maximum


@rule(score="unique_lines", threshold="min_unique_lines")
def too_few_unique_lines(score: Scores, minimum: float) -> Mask:
    """Share of distinct lines below `minimum` (NeMo Curator's RepeatedLines: 0.7)."""
    return score < minimum


@rule(score="unique_line_characters", threshold="min_unique_line_characters")
def too_little_text_in_unique_lines(score: Scores, minimum: float) -> Mask:
    """Share of characters in distinct lines below `minimum` (NeMo Curator's RepeatedLinesByChar: 0.8)."""
    return score < minimum


@rule(score="unique_paragraphs", threshold="min_unique_paragraphs")
def too_few_unique_paragraphs(score: Scores, minimum: float) -> Mask:
    """Share of distinct paragraphs below `minimum` (NeMo Curator's RepeatedParagraphs: 0.7)."""
    return score < minimum


@rule(score="unique_paragraph_characters", threshold="min_unique_paragraph_characters")
def too_little_text_in_unique_paragraphs(score: Scores, minimum: float) -> Mask:
    """Share of characters in distinct paragraphs below `minimum` (NeMo Curator's RepeatedParagraphsByChar: 0.8)."""
    return score < minimum


@rule(score="lines_without_end_mark", threshold="max_lines_without_end_mark")
def too_many_lines_without_end_mark(score: Scores, maximum: float) -> Mask:
    """Share of lines that end with none of . ? ! and quotes above `maximum` (NeMo Curator, after C4: 0.85)."""
    return score > maximum


@rule(score="language_score", threshold="min_language_score")
def language_uncertain(score: Scores, minimum: float) -> Mask:
    """Probability of the language found below `minimum` (NeMo Curator: 0.3, FineWeb: 0.65, data-juicer: 0.8)."""
    return score < minimum
