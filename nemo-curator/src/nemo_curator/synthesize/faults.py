"""Ways to spoil a good answer, each by a rule that holds for every subject."""

from collections.abc import Callable, Sequence
from random import Random

Spoil = Callable[[str, Sequence[str], Random], str]


def cut_off(answer: str, others: Sequence[str], random: Random) -> str:
    """Ends in the middle, without a full stop."""
    words = answer.split()
    return " ".join(words[: random.randint(max(1, len(words) // 3), max(1, len(words) - 2))]).rstrip(".,;:")


def looping(answer: str, others: Sequence[str], random: Random) -> str:
    """Falls into saying the same few words again and again."""
    words = answer.rstrip(".").split()
    length = min(len(words), random.randint(2, 5))
    first = random.randint(0, len(words) - length)
    return " ".join([*words[: first + length], *(words[first : first + length] * random.randint(3, 6))])


def rambling(answer: str, others: Sequence[str], random: Random) -> str:
    """Goes on about other things when everything is said."""
    return " ".join([answer, *random.sample(list(others), min(len(others), random.randint(2, 3)))])


def off_subject(answer: str, others: Sequence[str], random: Random) -> str:
    """Answers another question."""
    return random.choice(list(others))


FAULTS: dict[str, Spoil] = {
    "cut_off": cut_off,
    "looping": looping,
    "rambling": rambling,
    "off_subject": off_subject,
}
