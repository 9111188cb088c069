"""A SentencePiece model as a `tokenizers` pipeline that gives the same ids; loaded only when one is imported.

SentencePiece writes a space as U+2581, may put one in front of the text, and either merges pairs by the score of what
they make (BPE) or takes the likeliest segmentation (unigram; Kudo 2018). What it cannot spell becomes bytes, or unk.
"""

from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError
from sentencepiece import sentencepiece_model_pb2
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers

from ..foundation.errors import ConfigError, InputError

proto: Any = sentencepiece_model_pb2
SPACE = "\u2581"
UNIGRAM, BPE = 1, 2
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4


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
    tokenizer.decoder = decoder(model)
    for piece in model.pieces:
        if piece.type in (CONTROL, USER_DEFINED):
            token = AddedToken(piece.piece, normalized=False, special=piece.type == CONTROL)
            (tokenizer.add_special_tokens if piece.type == CONTROL else tokenizer.add_tokens)([token])
    return tokenizer, special_tokens(model)


def segmenter(model: Any, path: Path) -> Any:
    """What cuts normalised text into pieces."""
    spec = model.trainer_spec
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
    steps: list[Any] = []
    if spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(spec.precompiled_charsmap))
    if spec.remove_extra_whitespaces:
        steps += [normalizers.Replace(Regex(r"\A +| +\z"), ""), normalizers.Replace(Regex(" {2,}"), " ")]
    if spec.add_dummy_prefix:
        steps.append(normalizers.Prepend(SPACE))
    steps.append(normalizers.Replace(" ", SPACE))
    return normalizers.Sequence(steps)


def decoder(model: Any) -> Any:
    """What makes text of pieces."""
    steps = [decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()]
    if model.normalizer_spec.add_dummy_prefix:
        steps.append(decoders.Strip(" ", 1, 0))
    return decoders.Sequence(steps)


def special_tokens(model: Any) -> dict[str, str]:
    """Texts of the special tokens that the model has."""
    spec = model.trainer_spec
    ids = {"unk_token": spec.unk_id, "bos_token": spec.bos_id, "eos_token": spec.eos_id, "pad_token": spec.pad_id}
    return {name: model.pieces[number].piece for name, number in ids.items() if 0 <= number < len(model.pieces)}
