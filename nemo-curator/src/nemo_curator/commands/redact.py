"""Commands that take out of documents what must not be learnt: personal data, and evaluation sets."""

from ..foundation.command import Command
from .filter import STAGE

COMMANDS = (
    Command(
        name="redact",
        summary="replace personal data and secrets in documents, and count them",
        settings="nemo_curator.redact.settings:RedactDocuments",
        run="nemo_curator.redact.command:run",
        examples=(
            "nemo-curator redact input=documents output=redacted",
            "nemo-curator redact input=documents output=redacted 'kinds=[email,phone]' mode=mask",
            "NEMO_REDACT_KEY=$(openssl rand -hex 32) nemo-curator redact input=documents output=redacted mode=hash",
        ),
        stage=STAGE,
    ),
    Command(
        name="decontaminate",
        summary="cut passages of evaluation sets out of documents, or drop the documents",
        settings="nemo_curator.decontaminate.settings:DecontaminateDocuments",
        run="nemo_curator.decontaminate.command:run",
        examples=(
            "nemo-curator decontaminate input=documents output=clean 'tasks={mmlu: mmlu.jsonl}'",
            "nemo-curator decontaminate input=documents output=clean 'tasks={gsm8k: gsm8k/}' mode=drop ngram=12",
        ),
        stage=STAGE,
    ),
)
