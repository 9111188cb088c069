"""The rules of C4 (Raffel et al. 2020, *Exploring the Limits of Transfer Learning*, section 2.2) and mC4.

mC4 is of Xue et al. 2021, *mT5*.
"""

from .registry import Mask, Scores, rule


@rule(score="lorem_ipsum", threshold="max_lorem_ipsum")
def placeholder_text(score: Scores, maximum: float) -> Mask:
    """More lines with "lorem ipsum" than `maximum` (C4: 0)."""
    return score > maximum


@rule(score="curly_brackets", threshold="max_curly_brackets")
def curly_brackets(score: Scores, maximum: float) -> Mask:
    """More lines with a curly bracket than `maximum` (C4: 0)."""
    return score > maximum


@rule(score="sentences", threshold="min_sentences")
def too_few_sentences(score: Scores, minimum: float) -> Mask:
    """Fewer sentences, in lines that C4 would keep, than `minimum` (C4: 5)."""
    return score < minimum


@rule(score="third_longest_line", threshold="min_third_longest_line")
def too_few_long_lines(score: Scores, minimum: float) -> Mask:
    """Third longest line, in characters, below `minimum` (mC4: 200)."""
    return score < minimum
