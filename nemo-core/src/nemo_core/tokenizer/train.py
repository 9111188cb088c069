"""Learn a byte-level BPE tokenizer from documents and write it as a Hugging Face tokenizer folder.

Byte-level BPE: Sennrich et al. 2016 over the 256 bytes (Radford et al. 2019), so no text is unknown. Digits stand
alone, so numbers are spelt the same way wherever they occur. The chat format is ChatML.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from ..data.documents import list_shards, read_shard
from ..foundation import artifact, atomic
from ..foundation.errors import InputError
from ..foundation.progress import Progress
from ..foundation.settings import to_plain
from .settings import TokenizerSettings

END_OF_TEXT = "<|endoftext|>"
TURN_START = "<|im_start|>"
TURN_END = "<|im_end|>"
SPECIAL_TOKENS = (END_OF_TEXT, TURN_START, TURN_END)
CHAT_TEMPLATE = (
    "{%- for message in messages %}"
    "{{- '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
    "{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": None,
    "eos_token": END_OF_TEXT,
    "pad_token": END_OF_TEXT,
    "additional_special_tokens": [TURN_START, TURN_END],
    "add_bos_token": False,
    "add_eos_token": False,
    "clean_up_tokenization_spaces": False,
    "model_max_length": 1_000_000_000,
}


@dataclass(frozen=True)
class TokenizerResult:
    """What `nemo-core tokenizer` prints."""

    output: str
    vocab_size: int
    documents: int
    bytes_per_token: float


def run(settings: TokenizerSettings) -> TokenizerResult:
    """Make the tokenizer artifact of `settings`."""
    with artifact.create(
        settings.output,
        kind="tokenizer",
        package="nemo-core",
        config=to_plain(settings),
        inputs={"documents": settings.documents},
        overwrite=settings.overwrite,
    ) as draft:
        texts = Texts(settings)
        tokenizer = learn(texts, vocab_size=settings.vocab_size, min_frequency=settings.min_frequency)
        if texts.documents == 0:
            raise InputError(f"{settings.documents}: every document is empty, so there is nothing to learn from")
        save(tokenizer, draft.path)
        draft.stats.update(
            vocab_size=tokenizer.get_vocab_size(),
            documents=texts.documents,
            bytes=texts.bytes,
            bytes_per_token=bytes_per_token(tokenizer, texts.sample),
        )
    return TokenizerResult(
        str(settings.output), tokenizer.get_vocab_size(), texts.documents, draft.stats["bytes_per_token"]
    )


class Texts:
    """The texts to learn from, counted as they pass; the first ones are kept as a `sample`."""

    def __init__(self, settings: TokenizerSettings, *, sample_bytes: int = 200_000) -> None:
        self.documents = self.bytes = 0
        self.sample: list[str] = []
        self._settings, self._sample_bytes = settings, sample_bytes

    def __iter__(self) -> Iterator[str]:
        shards = list_shards(self._settings.documents)
        with Progress("learn tokenizer", unit="document") as progress:
            for shard in shards:
                for document in read_shard(shard, text_field=self._settings.text_field):
                    if self.bytes >= self._settings.max_bytes:
                        return
                    if document.text:
                        self._count(document.text)
                        progress.advance()
                        yield document.text

    def _count(self, text: str) -> None:
        if self.bytes < self._sample_bytes:
            self.sample.append(text)
        self.documents += 1
        self.bytes += len(text.encode())


def learn(texts: Iterator[str] | Texts, *, vocab_size: int, min_frequency: int = 2) -> Tokenizer:
    """A byte-level BPE tokenizer of at most `vocab_size` tokens; equal texts give an equal tokenizer."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=False))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=min_frequency,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(iter(texts), trainer=trainer)
    return tokenizer


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the files that transformers' AutoTokenizer reads."""
    atomic.write_text(folder / "tokenizer.json", tokenizer.to_str(pretty=True))
    atomic.write_text(folder / "tokenizer_config.json", as_json(CONFIG))
    atomic.write_text(folder / "chat_template.jinja", CHAT_TEMPLATE)


def as_json(value: Any) -> str:
    """Indented JSON with a final newline."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def bytes_per_token(tokenizer: Tokenizer, texts: list[str]) -> float:
    """UTF-8 bytes that one token stands for on average."""
    tokens = sum(len(encoding.ids) for encoding in tokenizer.encode_batch(texts))
    return round(sum(len(text.encode()) for text in texts) / max(tokens, 1), 3)
