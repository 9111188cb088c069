"""How an answer is compared with references; normalised as SQuAD does (Rajpurkar et al. 2016)."""

import re
import string
from collections import Counter
from collections.abc import Sequence

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalized(text: str) -> str:
    """Lower case, without punctuation, articles and extra spaces."""
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def exact_match(answer: str, references: Sequence[str]) -> float:
    """1 where the answer is one of the references once both are normalised, else 0."""
    return float(normalized(answer) in {normalized(reference) for reference in references})


def f1(answer: str, references: Sequence[str]) -> float:
    """Best harmonic mean of precision and recall of words, over the references."""
    return max(word_f1(normalized(answer).split(), normalized(one).split()) for one in references)


def word_f1(answer: Sequence[str], reference: Sequence[str]) -> float:
    """F1 of two bags of words; two empty ones agree."""
    shared = sum((Counter(answer) & Counter(reference)).values())
    if not answer or not reference:
        return float(answer == reference)
    return 2 * shared / (len(answer) + len(reference))


def best(log_probs: Sequence[float]) -> int:
    """The number of the likeliest choice; the first of equals."""
    return max(range(len(log_probs)), key=lambda number: log_probs[number])


def best_per_character(log_probs: Sequence[float], choices: Sequence[str]) -> int:
    """The likeliest choice once each is divided by its length in characters (lm-eval's acc_norm)."""
    return best([log_prob / max(1, len(choice)) for log_prob, choice in zip(log_probs, choices, strict=True)])
