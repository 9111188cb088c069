"""Finding personal data with presidio: names, places and what else its recognisers and your spaCy model know."""

from collections.abc import Callable, Iterable

from presidio_analyzer import AnalyzerEngine

from ..foundation.errors import ConfigError
from .settings import Redact
from .step import Found


def finder(settings: Redact) -> Callable[[str], Iterable[Found]]:
    """The function that finds the chosen entities in a text. Raises ConfigError for one that presidio does not know."""
    engine = AnalyzerEngine(supported_languages=[settings.language])
    known = engine.get_supported_entities(language=settings.language)
    unknown = [name for name in settings.chosen() if name not in known]
    if unknown:
        raise ConfigError(f"kinds: presidio knows no {unknown[0]!r} (it knows: {', '.join(sorted(known))})")

    def find(text: str) -> list[Found]:
        results = engine.analyze(
            text=text, entities=settings.chosen(), language=settings.language, score_threshold=settings.min_score
        )
        return [Found(result.start, result.end, result.entity_type) for result in results]

    return find
