"""Chinese words by the dictionary and model of jieba, in Rust."""

import rjieba


def cut(run: str) -> list[str]:
    """The words of a run of Chinese characters."""
    return list(rjieba.cut(run))
