"""Toy data: digits to repeat, digits to sort, and a tiny model that knows nothing yet."""

import json
import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from nemo_core.checkpoint.folder import save_model
from nemo_core.config import ModelConfig
from nemo_core.foundation import artifact
from nemo_core.model.decoder import Decoder

from ..rewards.sample import Sample

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
VOCABULARY = (*SPECIAL, "\n", "user", "assistant", *"0123456789", *"+-=?.,:")
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ANSWER_TOKENS = 16


@dataclass(frozen=True)
class Toys:
    """Folders of the artifacts to learn from."""

    model: Path
    digits_to_repeat: Path
    digits_to_sort: Path


def make_toys(folder: Path, *, seed: int = 0, hidden_size: int = 64) -> Toys:
    """Write the toy artifacts under `folder`."""
    draw = random.Random(seed)
    toys = Toys(folder / "model", folder / "repeat", folder / "sort")
    write_model(toys.model, seed=seed, hidden_size=hidden_size)
    write_rows(toys.digits_to_repeat, "conversations", [repeat_row(n % 10) for n in range(80)], held_out=10)
    write_rows(toys.digits_to_sort, "preferences", list(sort_rows(draw, 1264)), held_out=64)
    return toys


def write_model(folder: Path, *, seed: int, hidden_size: int) -> None:
    """A randomly initialised model of two layers with a tokenizer of digits, as a checkpoint artifact."""
    config = ModelConfig(
        vocab_size=len(VOCABULARY),
        hidden_size=hidden_size,
        num_layers=2,
        num_heads=4,
        num_kv_heads=4,
        head_dim=hidden_size // 4,
        ffn_size=3 * hidden_size,
        max_positions=64,
        tied_embeddings=True,
        initializer_range=0.1,
        eos_id=0,
        pad_id=0,
    )
    with artifact.create(folder, kind="checkpoint", package="nemo-aligner", config={"seed": seed}) as draft:
        save_model(Decoder(config, seed=seed), draft.path)
        write_tokenizer(draft.path)


def write_tokenizer(folder: Path) -> None:
    """A tokenizer with a token per digit, as a Hugging Face folder."""
    words = {word: index for index, word in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="?"))  # noqa: S106 - a token of text
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("user|assistant|[\\s\\S]"), behavior="isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": SPECIAL[0], "pad_token": SPECIAL[0]}
    config["additional_special_tokens"] = list(SPECIAL[1:])  # type: ignore[assignment]
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")


def write_rows(folder: Path, kind: str, rows: Sequence[Mapping[str, Any]], *, held_out: int) -> None:
    """An artifact of JSONL rows, the last `held_out` of them for validation."""
    with artifact.create(folder, kind=kind, package="nemo-aligner", config={"rows": len(rows)}) as draft:
        (draft.path / "data").mkdir(exist_ok=True)
        for name, part in (("train", rows[:-held_out]), ("validation", rows[-held_out:])):
            text = "".join(json.dumps(row) + "\n" for row in part)
            (draft.path / "data" / f"{name}.jsonl").write_text(text, encoding="utf-8")


def repeat_row(digit: int) -> dict[str, Any]:
    """A prompt that names a digit."""
    messages = [{"role": "user", "content": str(digit)}, {"role": "assistant", "content": str(digit) * ANSWER_TOKENS}]
    return {"id": f"repeat-{digit}", "subject": str(digit), "messages": messages}


def repeats_digit(samples: Sequence[Sample]) -> list[float]:
    """Share of the sixteen tokens of an answer that are the digit it was asked for."""
    return [sample.answer.count(sample.field("subject")) / ANSWER_TOKENS for sample in samples]


def sort_rows(draw: random.Random, count: int) -> Iterator[dict[str, Any]]:
    """Four distinct digits; the chosen answer has them in order, the rejected one in another order."""
    for number in range(count):
        digits = draw.sample("0123456789", 4)
        ordered, other = sorted(digits), list(digits)
        while other == ordered:
            draw.shuffle(other)
        answers = {"chosen": "".join(ordered), "rejected": "".join(other)}
        yield {"id": f"sort-{number}", "subject": "", "prompt": "".join(digits), **answers}


if __name__ == "__main__":
    print(make_toys(Path(sys.argv[1])))
