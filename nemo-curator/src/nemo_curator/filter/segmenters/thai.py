"""Thai words by the longest matches of a dictionary (PyThaiNLP's newmm, in its form with bounded time)."""

from pythainlp.tokenize import word_tokenize


def cut(run: str) -> list[str]:
    """The words of a run of Thai characters."""
    return [word for word in word_tokenize(run, engine="newmm-safe", keep_whitespace=False) if word.strip()]
