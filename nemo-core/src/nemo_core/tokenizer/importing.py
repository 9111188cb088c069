"""`nemo-core import-tokenizer`: a SentencePiece model as a Hugging Face tokenizer folder."""

import shutil
from dataclasses import dataclass

from ..foundation import artifact, atomic
from ..foundation.backend import Backend, load_backend
from ..foundation.settings import to_plain
from .settings import ImportTokenizerSettings
from .train import as_json

KINDS = {"sentencepiece": Backend(module="nemo_core.tokenizer.sentencepiece", extra="sentencepiece")}


@dataclass(frozen=True)
class ImportedTokenizer:
    """What `nemo-core import-tokenizer` prints."""

    output: str
    vocab_size: int


def run(settings: ImportTokenizerSettings) -> ImportedTokenizer:
    """Make the tokenizer artifact of `settings`. Raises InputError where the file is no SentencePiece model."""
    with artifact.create(
        settings.output,
        kind="tokenizer",
        package="nemo-core",
        config=to_plain(settings),
        inputs={"model": settings.model},
        overwrite=settings.overwrite,
    ) as draft:
        backend = load_backend("tokenizer", "sentencepiece", KINDS, package="nemo-core")
        tokenizer, special = backend.convert(settings.model)
        config = {"tokenizer_class": "PreTrainedTokenizerFast", **special, "clean_up_tokenization_spaces": False}
        atomic.write_text(draft.path / "tokenizer.json", tokenizer.to_str(pretty=True))
        atomic.write_text(draft.path / "tokenizer_config.json", as_json(config))
        shutil.copyfile(settings.model, draft.path / "tokenizer.model")
        draft.stats.update(vocab_size=tokenizer.get_vocab_size())
    return ImportedTokenizer(str(settings.output), tokenizer.get_vocab_size())
