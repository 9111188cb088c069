"""A SentencePiece model as a `tokenizers` pipeline that gives the same ids; loaded only when one is imported.

SentencePiece writes a space as U+2581, may put one in front of the text, and either merges pairs by the score of what
they make (BPE) or takes the likeliest segmentation (unigram; Kudo 2018). What it cannot spell becomes bytes, or unk.
"""

from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from ..foundation.errors import ConfigError, InputError

proto: Any = sentencepiece_model_pb2
SPACE = "\u2581"
UNIGRAM, BPE = 1, 2
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4
COMPOSING = ("nfkc", "nmt_nfkc", "nfkc_cf", "nmt_nfkc_cf")
WIDE_SPACES = r"\u00a0\u2000-\u200a\u202f\u205f\u3000"
LONGEST = 2**31  # more spaces than any text begins with


def read_model(path: Path) -> Any:
    """The parsed .model file. Raises InputError where it is none."""
    model = proto.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except (OSError, DecodeError) as error:
        raise InputError(f"{path}: not a SentencePiece model ({error}); give the .model file") from None
    if not model.pieces:
        raise InputError(f"{path}: holds no pieces, so this is no SentencePiece model; give the .model file")
    return model


def convert(path: Path) -> tuple[Tokenizer, dict[str, str]]:
    """The pipeline, and the texts of the special tokens by their usual names.

    Raises InputError for a file that is no SentencePiece model, ConfigError for a kind that has no equal here.
    """
    model = read_model(path)
    tokenizer = Tokenizer(segmenter(model, path))
    tokenizer.normalizer = normalizer(model)
    if prefix_is_first(model.normalizer_spec):
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(SPACE, prepend_scheme="first", split=False)
    tokenizer.decoder = decoder(model)
    for piece in model.pieces:
        if piece.type in (CONTROL, USER_DEFINED):
            token = AddedToken(piece.piece, normalized=False, special=piece.type == CONTROL)
            (tokenizer.add_special_tokens if piece.type == CONTROL else tokenizer.add_tokens)([token])
    return tokenizer, special_tokens(model)


def segmenter(model: Any, path: Path) -> Any:
    """What cuts normalised text into pieces."""
    spec = model.trainer_spec
    if spec.treat_whitespace_as_suffix:
        raise ConfigError(
            f"{path}: treat_whitespace_as_suffix (spaces behind words) has no equal here; train without it"
        )
    if spec.model_type == UNIGRAM:
        pieces = [(piece.piece, piece.score) for piece in model.pieces]
        return models.Unigram(pieces, unk_id=spec.unk_id, byte_fallback=spec.byte_fallback)
    if spec.model_type == BPE:
        ids = {piece.piece: number for number, piece in enumerate(model.pieces)}
        unknown = model.pieces[spec.unk_id].piece
        return models.BPE(ids, merges(model, ids), unk_token=unknown, fuse_unk=True, byte_fallback=spec.byte_fallback)
    raise ConfigError(f"{path}: model type {spec.model_type} (word or char) has no equal here; bpe and unigram have")


def merges(model: Any, ids: dict[str, int]) -> list[tuple[str, str]]:
    """Pairs to merge, in order: those that make the piece of the highest score first."""
    ranked = []
    for number, piece in enumerate(model.pieces):
        text = piece.piece
        if piece.type != NORMAL:
            continue
        pairs = [(text[:at], text[at:]) for at in range(1, len(text)) if text[:at] in ids and text[at:] in ids]
        ranked += [(-piece.score, number, ids[left], ids[right], (left, right)) for left, right in pairs]
    return [pair for *_, pair in sorted(ranked)]


def normalizer(model: Any) -> Any:
    """What is done to a text before it is cut."""
    spec = model.normalizer_spec
    steps: list[Any] = [*whole_characters(spec)]
    if spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(spec.precompiled_charsmap))
    if spec.remove_extra_whitespaces:
        # The written form of a space counts as one at the end of a text, not at its beginning or within.
        steps += [normalizers.Replace(Regex(f"\\A +|[ {SPACE}]+\\z"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if spec.add_dummy_prefix:
        first = normalizers.Replace(Regex(rf"\A[ {SPACE}]"), SPACE * 2)  # `Metaspace` adds one where none is yet
        steps.append(first if prefix_is_first(spec) else normalizers.Prepend(SPACE))
    steps.append(normalizers.Replace(" ", SPACE))
    return normalizers.Sequence(steps)


def prefix_is_first(spec: Any) -> bool:
    """Whether the space in front stands at the beginning of a text only, and not behind each special token as well.

    `Metaspace` can tell only as long as nothing is taken off the beginning.
    """
    return bool(spec.add_dummy_prefix and not spec.remove_extra_whitespaces)


def whole_characters(spec: Any) -> list[Any]:
    """Steps before the rules of `spec`, which `tokenizers` looks up cluster by cluster, taking the shortest rule.

    So a letter with a combining accent would lose it, and CRLF become one space: both are made single characters first,
    where the rules are NFKC's and would do the same.
    """
    if spec.name not in COMPOSING:
        return []
    spaces = WIDE_SPACES + (r"\t\n\f\r" if spec.name.startswith("nmt_") else "")
    return [normalizers.NFC(), normalizers.Replace(Regex(f"[{spaces}]"), " ")]


def decoder(model: Any) -> Any:
    """What makes text of pieces."""
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    spec = model.normalizer_spec
    steps.append(decoders.Strip(" ", LONGEST if spec.remove_extra_whitespaces else int(spec.add_dummy_prefix), 0))
    return decoders.Sequence(steps)


def special_tokens(model: Any) -> dict[str, str]:
    """Texts of the special tokens that the model has."""
    spec = model.trainer_spec
    ids = {"unk_token": spec.unk_id, "bos_token": spec.bos_id, "eos_token": spec.eos_id, "pad_token": spec.pad_id}
    return {name: model.pieces[number].piece for name, number in ids.items() if 0 <= number < len(model.pieces)}
