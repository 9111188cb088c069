"""Lists of stop words by language: our own of English, Chinese, Japanese and Thai, and those of jusText."""

from functools import cache
from importlib.resources import files

from ...foundation.backend import Backend, load_backend
from ...foundation.errors import ConfigError
from ...foundation.settings import did_you_mean

OWN = ("en", "ja", "th", "zh")
UNSPACED = frozenset(("ja", "km", "lo", "my", "th", "zh"))  # words are not parted by blanks
BACKENDS = {"justext": Backend(module="nemo_curator.language.stop_words.justext_lists", extra="html")}


@cache
def lines_of(package: str, name: str) -> tuple[str, ...]:
    """The lines of a data file that are not comments."""
    lines = (files(package) / name).read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


@cache
def names() -> dict[str, str]:
    """What jusText calls the list of a language code."""
    return dict(tuple(line.split()) for line in lines_of("nemo_curator.language", "justext_names.txt"))  # type: ignore[misc]


@cache
def stop_words(language: str) -> frozenset[str]:
    """The stop words of a language code, in lower case: our own list where there is one.

    Raises ConfigError where there is no list, MissingBackend where it is jusText's and that is not installed.
    """
    if language in OWN:
        return frozenset(lines_of(__package__, f"{language}.txt"))
    return justext_stop_words(language)


@cache
def justext_stop_words(language: str) -> frozenset[str]:
    """The stop words of a language code as extraction counts them: jusText's where it has a list, else our own."""
    if language not in names() and language in OWN:
        return stop_words(language)
    if language not in names():
        known = sorted({*OWN, *names()})
        raise ConfigError(f"no stop words of language {language!r}{did_you_mean(language, known)} ({', '.join(known)})")
    lists = load_backend("stop words", "justext", BACKENDS, package="nemo-curator")
    words: frozenset[str] = lists.words(names()[language])
    return words


def has_list(language: str) -> bool:
    """Whether there is a list of this language."""
    return language in OWN or language in names()
