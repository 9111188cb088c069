"""Small real files that some stages need and no stage makes."""

import json
from collections.abc import Callable
from pathlib import Path


def exam(path: Path) -> None:
    """Questions of an evaluation set."""
    text = "Which of the many rivers of the north runs through the old town and on to the sea, number {}?"
    path.write_text("".join(json.dumps({"question": text.format(n)}) + "\n" for n in range(6)))


def words(path: Path) -> None:
    """A list of words, one a line."""
    path.write_text("casino\n")


def bitext(path: Path) -> None:
    """Sentences and their translations."""
    rows = [{"text": f"The {n}th house is old.", "translation": f"Das {n}. Haus steht."} for n in range(6)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def labelled(path: Path) -> None:
    """Texts with their classes."""
    rows = [{"text": f"The {n}th house is {kind}.", "label": kind} for n in range(4) for kind in ("old", "new")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def fasttext_model(path: Path) -> None:
    """A classifier of two kinds of lines."""
    from nemo_curator.cli import main

    lines = [f"__label__{kind} {word} {n}" for n in range(40) for kind, word in (("hq", "river"), ("cc", "click"))]
    text = path.with_suffix(".txt")
    text.write_text("\n".join(lines) + "\n")
    assert main(["train-classifier", f"files=[{text}]", f"output={path}", "dimension=4", "buckets=1000"]) == 0


def classifier(path: Path) -> None:
    """A sequence classifier with random weights and a vocabulary of letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    tokens = ["[PAD]", "[UNK]", *"abcdefghijklmnopqrstuvwxyz"]
    letters = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    letters.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    PreTrainedTokenizerFast(tokenizer_object=letters, pad_token="[PAD]", unk_token="[UNK]").save_pretrained(path)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    config = BertConfig(vocab_size=len(tokens), num_labels=2, max_position_embeddings=64, **shape)
    BertForSequenceClassification(config).save_pretrained(path)


MAKERS: dict[str, Callable[[Path], None]] = {
    "exam.jsonl": exam,
    "words.txt": words,
    "bitext.jsonl": bitext,
    "labelled.jsonl": labelled,
    "quality.bin": fasttext_model,
    "classifier": classifier,
}
