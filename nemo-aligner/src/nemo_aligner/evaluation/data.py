"""The held-out data that every model is measured on, as rows and text: each model has its own tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nemo_core.data.rows import Conversation, Preference
from nemo_core.foundation import artifact

from ..rows.order import spread
from ..rows.read import split_conversations, split_preferences
from ..settings.evaluate import EvaluateSettings


@dataclass(frozen=True)
class EvaluationData:
    """Held-out questions and pairs, some training questions to show, and the tokens artifact if there is one.

    `skipped` counts, by model, what did not fit into its window.
    """

    questions: Sequence[Conversation]
    trained: Sequence[Conversation]
    pairs: Sequence[Preference]
    tokens: Path | None
    skipped: dict[str, int] = field(default_factory=dict)


def load_data(settings: EvaluateSettings) -> EvaluationData:
    """Read the rows that the settings ask for. Raises InputError naming a malformed one."""
    conversations = split_conversations(settings.conversations)
    pairs: Sequence[Preference] = ()
    if settings.preferences is not None:
        held_out = split_preferences(settings.preferences).validation
        pairs = [held_out[i] for i in spread(len(held_out), settings.pairs)]
    if settings.tokens is not None:
        artifact.read(settings.tokens, "tokens")
    chosen = spread(len(conversations.validation), settings.questions)
    shown = spread(len(conversations.train), max(1, settings.samples // 2))
    return EvaluationData(
        questions=[conversations.validation[i] for i in chosen],
        trained=[conversations.train[i] for i in shown],
        pairs=pairs,
        tokens=settings.tokens,
    )
