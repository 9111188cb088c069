"""Ready definitions of published classifiers: their head, how much text they look at, what their numbers mean.

No weights come with this package. Download a folder under its own licence and name it with ``model=FOLDER``.
"""

from dataclasses import dataclass
from typing import Literal

# softmax: a sequence classifier of transformers; first_token: a linear layer on the first token's state, as NVIDIA
# publishes its DeBERTa classifiers; regression: one number; prompt: eight heads on the mean state.
Head = Literal["softmax", "first_token", "regression", "prompt"]


@dataclass(frozen=True, kw_only=True)
class Family:
    """How a published classifier is asked. `max_tokens` None leaves it to the tokenizer's own limit."""

    published_as: str
    about: str
    column: str
    head: Head
    max_tokens: int | None = 512
    max_characters: int | None = None


FAMILIES: dict[str, Family] = {
    "generic": Family(
        published_as="any sequence classifier",
        about="the likeliest label and its probability; one number where the model has a single output",
        column="class",
        head="softmax",
    ),
    "quality": Family(
        published_as="nvidia/quality-classifier-deberta",
        about="High, Medium or Low quality",
        column="quality",
        head="first_token",
        max_tokens=1024,
        max_characters=6000,
    ),
    "domain": Family(
        published_as="nvidia/domain-classifier",
        about="one of 26 domains of English text",
        column="domain",
        head="first_token",
        max_characters=2000,
    ),
    "multilingual_domain": Family(
        published_as="nvidia/multilingual-domain-classifier",
        about="one of 26 domains of text in 52 languages",
        column="multilingual_domain",
        head="first_token",
        max_characters=2000,
    ),
    "content_type": Family(
        published_as="nvidia/content-type-classifier-deberta",
        about="one of 11 kinds of text, such as news, review or explanation",
        column="content_type",
        head="first_token",
        max_tokens=1024,
        max_characters=5000,
    ),
    "fineweb_edu": Family(
        published_as="HuggingFaceFW/fineweb-edu-classifier",
        about="educational value from 0 to 5; high_quality from 2.5",
        column="fineweb_edu",
        head="regression",
    ),
    "fineweb_mixtral_edu": Family(
        published_as="nvidia/nemocurator-fineweb-mixtral-edu-classifier",
        about="educational value as Mixtral judged it, from 0 to 5",
        column="fineweb_mixtral_edu",
        head="regression",
    ),
    "fineweb_nemotron_edu": Family(
        published_as="nvidia/nemocurator-fineweb-nemotron-4-edu-classifier",
        about="educational value as Nemotron-4 340B judged it, from 0 to 5",
        column="fineweb_nemotron_edu",
        head="regression",
    ),
    "finemath": Family(
        published_as="HuggingFaceTB/finemath-classifier",
        about="mathematical reasoning from 0 to 5",
        column="finemath",
        head="regression",
    ),
    "prompt_task_complexity": Family(
        published_as="nvidia/prompt-task-and-complexity-classifier",
        about="task of a prompt (11 kinds) and six dimensions of its complexity",
        column="prompt",
        head="prompt",
    ),
}
REFUSED = {
    "aegis": (
        "Aegis is a PEFT adapter on Llama Guard 7B that writes its verdict as text, no sequence classifier. Serve the "
        "base model with the adapter behind an OpenAI-compatible endpoint and ask it there"
    ),
    "instruction_data_guard": (
        "Instruction Data Guard is a small network on hidden states of Llama Guard 7B with the Aegis adapter, no "
        "sequence classifier; it needs both of these and a GPU"
    ),
}
