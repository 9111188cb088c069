"""How loud a text is: the share of its words that are in capitals."""


def shouting(texts: list[str]) -> list[float]:
    """One number for each text, whatever stands beside it; an empty text is calm."""
    return [share_of_capitals(text.split()) for text in texts]


def share_of_capitals(words: list[str]) -> float:
    """Share of words of at least two letters that are in capitals."""
    long = [word for word in words if sum(map(str.isalpha, word)) > 1]
    return sum(word.isupper() for word in long) / len(long) if long else 0.0
