"""The rules of Gopher.

"Gopher" is Rae et al. 2021, *Scaling Language Models: Methods, Analysis & Insights from Training Gopher*, appendix A.1
(quality filtering, and repetition removal with its table A1).
"""

from .registry import Mask, Scores, rule


@rule(score="words", threshold="min_words")
def too_few_words(words: Scores, minimum: float) -> Mask:
    """Fewer words than `minimum` (Gopher: 50)."""
    return words < minimum


@rule(score="words", threshold="max_words")
def too_many_words(words: Scores, maximum: float) -> Mask:
    """More words than `maximum` (Gopher: 100 000)."""
    return words > maximum


@rule(score="mean_word_length", threshold="min_mean_word_length")
def words_too_short(mean_length: Scores, minimum: float) -> Mask:
    """Mean word length in characters below `minimum` (Gopher: 3)."""
    return mean_length < minimum


@rule(score="mean_word_length", threshold="max_mean_word_length")
def words_too_long(mean_length: Scores, maximum: float) -> Mask:
    """Mean word length in characters above `maximum` (Gopher: 10)."""
    return mean_length > maximum


@rule(score="symbols_per_word", threshold="max_symbols_per_word")
def too_many_symbols(symbols_per_word: Scores, maximum: float) -> Mask:
    """More hash signs, or more ellipses, per word than `maximum` (Gopher: 0.1)."""
    return symbols_per_word > maximum


@rule(score="bullet_lines", threshold="max_bullet_lines")
def too_many_bullets(share: Scores, maximum: float) -> Mask:
    """Share of lines that begin with a bullet above `maximum` (Gopher: 0.9)."""
    return share > maximum


@rule(score="ellipsis_lines", threshold="max_ellipsis_lines")
def too_many_ellipses(share: Scores, maximum: float) -> Mask:
    """Share of lines that end with an ellipsis above `maximum` (Gopher: 0.3)."""
    return share > maximum


@rule(score="alphabetic_words", threshold="min_alphabetic_words")
def too_few_alphabetic_words(share: Scores, minimum: float) -> Mask:
    """Share of words with a letter in them below `minimum` (Gopher: 0.8)."""
    return share < minimum


@rule(score="stop_words", threshold="min_stop_words")
def too_few_stop_words(distinct: Scores, minimum: float) -> Mask:
    """Fewer stop words (the, be, to, of, and, that, have, with, or yours) than `minimum` (Gopher: 2)."""
    return distinct < minimum


@rule(score="duplicate_lines", threshold="max_duplicate_lines")
def too_many_duplicate_lines(share: Scores, maximum: float) -> Mask:
    """Share of lines that repeat an earlier one above `maximum` (Gopher: 0.3)."""
    return share > maximum


@rule(score="duplicate_line_characters", threshold="max_duplicate_line_characters")
def too_much_text_in_duplicate_lines(share: Scores, maximum: float) -> Mask:
    """Share of characters in lines that repeat an earlier one above `maximum` (Gopher: 0.2)."""
    return share > maximum


@rule(score="duplicate_paragraphs", threshold="max_duplicate_paragraphs")
def too_many_duplicate_paragraphs(share: Scores, maximum: float) -> Mask:
    """Share of paragraphs that repeat an earlier one above `maximum` (Gopher: 0.3)."""
    return share > maximum


@rule(score="duplicate_paragraph_characters", threshold="max_duplicate_paragraph_characters")
def too_much_text_in_duplicate_paragraphs(share: Scores, maximum: float) -> Mask:
    """Share of characters in paragraphs that repeat an earlier one above `maximum` (Gopher: 0.2)."""
    return share > maximum


@rule(score="top_2_gram", threshold="max_top_2_gram")
def one_2_gram_too_often(share: Scores, maximum: float) -> Mask:
    """Share of characters in the most frequent pair of words above `maximum` (Gopher: 0.20)."""
    return share > maximum


@rule(score="top_3_gram", threshold="max_top_3_gram")
def one_3_gram_too_often(share: Scores, maximum: float) -> Mask:
    """Share of characters in the most frequent three words above `maximum` (Gopher: 0.18)."""
    return share > maximum


@rule(score="top_4_gram", threshold="max_top_4_gram")
def one_4_gram_too_often(share: Scores, maximum: float) -> Mask:
    """Share of characters in the most frequent four words above `maximum` (Gopher: 0.16)."""
    return share > maximum


@rule(score="duplicate_5_grams", threshold="max_duplicate_5_grams")
def too_many_repeated_5_grams(share: Scores, maximum: float) -> Mask:
    """Share of characters in repeats of five words above `maximum` (Gopher: 0.15)."""
    return share > maximum


@rule(score="duplicate_6_grams", threshold="max_duplicate_6_grams")
def too_many_repeated_6_grams(share: Scores, maximum: float) -> Mask:
    """Share of characters in repeats of six words above `maximum` (Gopher: 0.14)."""
    return share > maximum


@rule(score="duplicate_7_grams", threshold="max_duplicate_7_grams")
def too_many_repeated_7_grams(share: Scores, maximum: float) -> Mask:
    """Share of characters in repeats of seven words above `maximum` (Gopher: 0.13)."""
    return share > maximum


@rule(score="duplicate_8_grams", threshold="max_duplicate_8_grams")
def too_many_repeated_8_grams(share: Scores, maximum: float) -> Mask:
    """Share of characters in repeats of eight words above `maximum` (Gopher: 0.12)."""
    return share > maximum


@rule(score="duplicate_9_grams", threshold="max_duplicate_9_grams")
def too_many_repeated_9_grams(share: Scores, maximum: float) -> Mask:
    """Share of characters in repeats of nine words above `maximum` (Gopher: 0.11)."""
    return share > maximum


@rule(score="duplicate_10_grams", threshold="max_duplicate_10_grams")
def too_many_repeated_10_grams(share: Scores, maximum: float) -> Mask:
    """Share of characters in repeats of ten words above `maximum` (Gopher: 0.10)."""
    return share > maximum
