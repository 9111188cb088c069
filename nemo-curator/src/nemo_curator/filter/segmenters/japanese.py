"""Japanese words by MeCab with the dictionary UniDic (its small edition)."""

from functools import cache

import fugashi

LONGEST = 4000  # characters at a time: MeCab refuses sentences that are too long for its buffers


@cache
def tagger() -> fugashi.Tagger:
    """MeCab, in a process opened once."""
    return fugashi.Tagger("-Owakati")


def cut(run: str) -> list[str]:
    """The words of a run of Japanese characters."""
    return [word for at in range(0, len(run), LONGEST) for word in tagger().parse(run[at : at + LONGEST]).split()]
