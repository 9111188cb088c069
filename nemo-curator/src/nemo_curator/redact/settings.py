"""The redact step."""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta

from ..foundation.errors import ConfigError
from ..foundation.settings import did_you_mean
from ..tables.settings import Passage

PRESIDIO = "presidio"


@dataclass(frozen=True, kw_only=True)
class Redact:
    """The redact step: replace personal data and secrets in texts, and count them."""

    kinds: Annotated[list[str], Meta(description="what to look for; empty is all that the rules know")] = field(
        default_factory=list
    )
    skip: Annotated[list[str], Meta(description="kinds to leave alone")] = field(default_factory=list)
    mode: Annotated[
        Literal["replace", "mask", "hash", "remove"],
        Meta(description="<EMAIL>, a mask of equal length, <EMAIL:keyed hash>, or nothing in its place"),
    ] = "replace"
    mask: Annotated[str, Meta(min_length=1, max_length=1, description="the character that masks")] = "*"
    hash_key_variable: Annotated[
        str, Meta(description="environment variable that holds the key of mode hash; equal data gets equal hashes")
    ] = "NEMO_REDACT_KEY"
    private_networks: Annotated[bool, Meta(description="IP addresses of private networks as well")] = False
    keep_counts: Annotated[bool, Meta(description="write how many of each kind into columns redacted_KIND")] = True
    engine: Annotated[
        Literal["rules", "presidio"], Meta(description="own rules, or presidio with its models (extra [pii])")
    ] = "rules"
    language: Annotated[str, Meta(pattern="^[a-z]{2}$", description="language of presidio's rules")] = "en"
    spacy_model: Annotated[str, Meta(description="presidio's spaCy model: an installed one, or a folder")] = (
        "en_core_web_lg"
    )
    min_score: Annotated[float, Meta(ge=0, le=1, description="least confidence of presidio")] = 0.5

    def __post_init__(self) -> None:
        if self.engine == PRESIDIO:
            if not self.kinds:
                raise ConfigError("engine=presidio needs kinds=[...], such as PERSON, LOCATION, PHONE_NUMBER")
            return
        from .kinds import BY_NAME

        for name in (*self.kinds, *self.skip):
            if name not in BY_NAME:
                near = did_you_mean(name, BY_NAME)
                raise ConfigError(f"kinds: unknown kind {name!r}{near} (kinds: {', '.join(BY_NAME)})")

    def chosen(self) -> list[str]:
        """Names of the kinds to look for, in the order in which they are looked for."""
        if self.engine == PRESIDIO:
            return [name for name in self.kinds if name not in self.skip]
        from .kinds import BY_NAME

        return [name for name in BY_NAME if (not self.kinds or name in self.kinds) and name not in self.skip]

    def columns(self) -> list[Any]:
        """The columns that the step adds, as Arrow fields."""
        import pyarrow as pa

        names = self.chosen() if self.keep_counts else []
        return [pa.field(f"redacted_{name.lower()}", pa.int32()) for name in names]

    def open(self) -> Any:
        """The step as a function from a batch to its verdict."""
        from .step import redactor

        return redactor(self)


@dataclass(frozen=True, kw_only=True)
class RedactDocuments(Redact, Passage):
    """Settings of ``nemo-curator redact``."""
