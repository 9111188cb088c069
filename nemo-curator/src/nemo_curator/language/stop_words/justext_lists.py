"""The lists that jusText ships (Pomikálek 2011)."""

import justext


def words(name: str) -> frozenset[str]:
    """The words of a list of jusText, in lower case."""
    return frozenset(word.lower() for word in justext.get_stoplist(name))
