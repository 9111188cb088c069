"""Rules for program text (NeMo Curator's code filters, and StarCoder, Li et al. 2023, section 3)."""

from .registry import Mask, Scores, rule


@rule(score="lines", threshold="min_lines")
def too_few_lines(score: Scores, minimum: float) -> Mask:
    """Fewer lines than `minimum` (NeMo Curator: 10, its recipe: 5)."""
    return score < minimum


@rule(score="lines", threshold="max_lines")
def too_many_lines(score: Scores, maximum: float) -> Mask:
    """More lines than `maximum` (NeMo Curator: 20 000)."""
    return score > maximum


@rule(score="comments", threshold="min_comments")
def too_few_comments(score: Scores, minimum: float) -> Mask:
    """Share of characters in comments and docstrings below `minimum` (NeMo Curator: 0.01, its recipe: 0.001)."""
    return score < minimum


@rule(score="comments", threshold="max_comments")
def too_many_comments(score: Scores, maximum: float) -> Mask:
    """Share of characters in comments and docstrings above `maximum` (NeMo Curator: 0.85)."""
    return score > maximum


@rule(score="alphabetic_characters", threshold="min_alphabetic_characters")
def too_few_letters(score: Scores, minimum: float) -> Mask:
    """Share of letters below `minimum`: tables and tensors as text (StarCoder: 0.25)."""
    return score < minimum


@rule(score="xml_header", threshold="max_xml_header")
def xml_header(score: Scores, maximum: float) -> Mask:
    """An XML declaration in the first hundred characters where `maximum` is 0 (StarCoder)."""
    return score > maximum


@rule(score="visible_text", threshold="min_visible_text")
def too_little_visible_text(score: Scores, minimum: float) -> Mask:
    """Share of an HTML page that is seen below `minimum`; under 100 characters count as none (NeMo Curator: 0.2)."""
    return score < minimum


@rule(score="characters_per_token", threshold="min_characters_per_token")
def too_few_characters_per_token(score: Scores, minimum: float) -> Mask:
    """Characters per token of your tokenizer below `minimum` (NeMo Curator: 2.5, its recipe: 2)."""
    return score < minimum


@rule(score="fits_extension", threshold="min_fits_extension")
def unfit_for_its_extension(score: Scores, minimum: float) -> Mask:
    """Beyond what the file's language and extension allow, where `minimum` is 1 (StarCoder's table, as NeMo has it)."""
    return score < minimum
