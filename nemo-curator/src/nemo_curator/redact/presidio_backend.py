"""Finding personal data with presidio: names, places and what else its recognisers and your spaCy model know."""

from collections.abc import Callable, Iterable
from pathlib import Path

import spacy
from presidio_analyzer import AnalyzerEngine
from presidio_analyzer.nlp_engine import NlpEngineProvider

from ..foundation.errors import ConfigError
from .settings import Redact
from .step import Found


def finder(settings: Redact) -> Callable[[str], Iterable[Found]]:
    """The function that finds the chosen entities in a text. Raises ConfigError for one that presidio does not know."""
    engine = open_engine(settings)
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


def open_engine(settings: Redact) -> AnalyzerEngine:
    """Presidio with the spaCy model of the settings. Raises ConfigError rather than let it download one."""
    name = settings.spacy_model
    if not spacy.util.is_package(name) and not (Path(name) / "meta.json").is_file():
        raise ConfigError(
            f"spacy_model={name}: neither an installed spaCy model nor the folder of one; install it, or name another"
        )
    models = [{"lang_code": settings.language, "model_name": name}]
    provider = NlpEngineProvider(nlp_configuration={"nlp_engine_name": "spacy", "models": models})
    return AnalyzerEngine(nlp_engine=provider.create_engine(), supported_languages=[settings.language])
