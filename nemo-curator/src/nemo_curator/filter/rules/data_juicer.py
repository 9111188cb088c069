"""The rules of data-juicer (Chen et al. 2023, *Data-Juicer*), with the defaults of its operators."""

from .registry import Mask, Scores, rule


@rule(score="characters", threshold="min_characters")
def too_few_characters(score: Scores, minimum: float) -> Mask:
    """Fewer characters than `minimum` (data-juicer: 10)."""
    return score < minimum


@rule(score="characters", threshold="max_characters")
def too_many_characters(score: Scores, maximum: float) -> Mask:
    """More characters than `maximum` (data-juicer: no limit)."""
    return score > maximum


@rule(score="alphanumeric_characters", threshold="min_alphanumeric_characters")
def too_few_alphanumerics(score: Scores, minimum: float) -> Mask:
    """Share of letters and digits below `minimum` (data-juicer: 0.25)."""
    return score < minimum


@rule(score="special_characters", threshold="max_special_characters")
def too_many_special_characters(score: Scores, maximum: float) -> Mask:
    """Share of characters but letters and marks above `maximum` (data-juicer, with a list of its own: 0.25)."""
    return score > maximum


@rule(score="character_repetition", threshold="max_character_repetition")
def too_much_character_repetition(score: Scores, maximum: float) -> Mask:
    """Share of the most repeated runs of ten characters above `maximum` (data-juicer: 0.5)."""
    return score > maximum


@rule(score="word_repetition", threshold="max_word_repetition")
def too_much_word_repetition(score: Scores, maximum: float) -> Mask:
    """Share of runs of ten words that occur more than once above `maximum` (data-juicer: 0.5)."""
    return score > maximum


@rule(score="flagged_words", threshold="max_flagged_words")
def too_many_flagged_words(score: Scores, maximum: float) -> Mask:
    """Share of words on your list of flagged ones above `maximum` (data-juicer: 0.045)."""
    return score > maximum


@rule(score="stop_word_share", threshold="min_stop_word_share")
def too_small_a_share_of_stop_words(score: Scores, minimum: float) -> Mask:
    """Share of words that are stop words below `minimum` (data-juicer: 0.3)."""
    return score < minimum


@rule(score="mean_line_length", threshold="min_mean_line_length")
def lines_too_short(score: Scores, minimum: float) -> Mask:
    """Mean length of lines, in characters, below `minimum` (data-juicer: 10)."""
    return score < minimum


@rule(score="mean_line_length", threshold="max_mean_line_length")
def lines_too_long(score: Scores, maximum: float) -> Mask:
    """Mean length of lines, in characters, above `maximum` (StarCoder: 100)."""
    return score > maximum


@rule(score="longest_line", threshold="min_longest_line")
def longest_line_too_short(score: Scores, minimum: float) -> Mask:
    """Longest line, in characters, below `minimum` (data-juicer: 10)."""
    return score < minimum


@rule(score="longest_line", threshold="max_longest_line")
def longest_line_too_long(score: Scores, maximum: float) -> Mask:
    """Longest line, in characters, above `maximum` (StarCoder: 1000)."""
    return score > maximum


@rule(score="tokens", threshold="min_tokens")
def too_few_tokens(score: Scores, minimum: float) -> Mask:
    """Fewer tokens of your tokenizer than `minimum` (data-juicer: 10)."""
    return score < minimum


@rule(score="tokens", threshold="max_tokens")
def too_many_tokens(score: Scores, maximum: float) -> Mask:
    """More tokens of your tokenizer than `maximum` (NeMo Curator and data-juicer: no limit)."""
    return score > maximum


@rule(score="perplexity", threshold="max_perplexity")
def too_surprising(score: Scores, maximum: float) -> Mask:
    """Perplexity under your n-gram model above `maximum` (data-juicer: 1500)."""
    return score > maximum
