"""`nemo-core sft`: teach a model to answer, from conversations; only what the assistant says is learnt."""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from ..checkpoint.folder import check_folder, check_vocabulary, copy_tokenizer
from ..data.batch import Batch
from ..data.chat import Encoded, encode_conversations
from ..data.encode import HASH_RANGE, split_hash
from ..data.packing import Example, PackedData, pack, packed_batch
from ..data.rows import (
    Conversation,
    Labelled,
    Preference,
    conversation_files,
    has_split,
    read_conversations,
)
from ..data.sampler import Sampler
from ..foundation import atomic
from ..foundation.errors import ConfigError
from ..model.decoder import Decoder
from ..parallel.filling import is_outline
from ..parallel.model import ParallelModel, Whole
from ..peft.adapter import DEFAULT, add_adapter, prefix_ids
from ..peft.folder import save_adapter, stored_tensors
from ..peft.merging import Merging, frozen_names, merging_folders, with_adapter
from ..scoring.settings import ScoringSettings
from ..tokenizer.load import Tokenizer, load_tokenizer
from .balance import balanced
from .device import Compute, choose_compute
from .implementation import first_weights, lay_out, outline_or_model, process_groups
from .loop import Account, Parts, train
from .measure import measure
from .objective import next_token_loss
from .samples import Question, answer, answer_in_parts, choose_questions
from .session import (
    TrainResult,
    check_average,
    figures,
    make_ema,
    make_optimizer,
    make_plan,
    make_schedule,
    save_models,
    shared_draft,
    summary,
)
from .settings import SftSettings
from .world import ALONE, World, joined_world

SAMPLES = "logs/samples.jsonl"
Row = TypeVar("Row", Conversation, Preference, Labelled)


@dataclass(frozen=True)
class Conversations:
    """Conversations to learn from and held-out ones, encoded; and questions among the latter."""

    train: Encoded
    validation: Encoded | None
    questions: list[Question]


@dataclass(frozen=True)
class Tuning:
    """A fine-tuning run before its first step."""

    parts: Parts
    tokenizer: Tokenizer
    conversations: Conversations
    steps: int


def run(settings: SftSettings) -> TrainResult:
    """Make the checkpoint of `settings`."""
    inputs = {"model": settings.model, "conversations": settings.conversations}
    kind = "checkpoint" if settings.is_merged else "adapter"
    files = conversation_files(settings.conversations)
    with (
        joined_world(settings.parallel.timeout_s) as world,
        shared_draft(settings, inputs, world, files=files, kind=kind) as draft,
        process_groups(settings),
    ):
        tuning = assemble(settings, world)
        ask = functools.partial(sample_answers, tuning, max_tokens=settings.sample_tokens)
        plan = make_plan(settings, label="sft", steps=tuning.steps)
        account = train(tuning.parts, plan, draft.path, begin=lambda: {"answers": ask()})
        samples = compare_answers(tuning.conversations.questions, account, ask())
        write_models(settings, tuning.parts, draft.path)
        draft.stats.update(figures("sft", tuning.parts.model, account), samples=samples)
        if world.is_first:
            write_samples(samples, draft.path)
            draft.stats.update(conversation_figures(settings, tuning))
    return summary(settings.output, draft.stats)


def assemble(settings: SftSettings, world: World = ALONE) -> Tuning:
    """Model, data and the rest. Raises InputError or ConfigError where they do not fit each other."""
    compute = choose_compute(settings)
    folder = check_folder(settings.model)
    tokenizer = load_tokenizer(folder)
    model = outline_or_model(settings, folder, world=world, device=compute.device)
    check_fit(settings, model, tokenizer)
    if settings.method != "full":
        read = first_weights(settings, model) if is_outline(model) else None
        add_adapter(model, settings.method, settings.chosen, seed=settings.seed, encode=tokenizer.encode, read=read)
        stored_tensors(model, DEFAULT)  # raises now, not after training, where the adapter could not be written
    conversations = load_conversations(settings, tokenizer, prefix=prefix_ids(model))
    parallel = lay_out(settings, model, world=world, compute=compute)
    model = model if settings.implementation == "native" else parallel.model
    data = packed_data(settings, conversations.train)
    steps = settings.steps or math.ceil(settings.epochs * len(data.rows) / settings.batch_size)
    parts = Parts(
        model=model,
        data=data,
        objective=balanced(next_token_loss, model.config, settings.experts, settings.parallel),
        optimizer=parallel.own_optimizer or make_optimizer(model, settings.peak_learning_rate, settings.optimizer),
        schedule=make_schedule(settings.schedule, peak=settings.peak_learning_rate, steps=steps),
        validate=functools.partial(validate, parallel, held_out(settings, conversations.validation), compute),
        compute=compute,
        world=parallel.world,
        parallel=parallel,
        ema=make_ema(parallel, settings.ema),
    )
    return Tuning(parts, tokenizer, conversations, steps)


def check_fit(settings: SftSettings, model: Decoder, tokenizer: Tokenizer) -> None:
    """Raise unless the tokenizer belongs to the model, rows fit its positions, and an average can be kept."""
    check_vocabulary(settings.model, model.config, tokenizer)
    check_average(settings.ema, settings.method)
    if settings.implementation != "native" and settings.method != "full":
        raise ConfigError(
            f"method={settings.method} needs implementation=native: megatron.core's joined matrices take no adapters "
            "here; use method=full, or implementation=native"
        )
    if settings.experts.bias_rate and settings.method != "full":
        raise ConfigError(
            f"experts.bias_rate={settings.experts.bias_rate} moves biases of the model itself; set it to 0, or use "
            "method=full"
        )
    check_positions(settings, model)


def check_positions(settings: SftSettings | ScoringSettings, model: Decoder) -> None:
    """Raise ConfigError where rows are longer than the model's positions."""
    if settings.sequence_length > model.config.max_positions:
        raise ConfigError(
            f"sequence_length={settings.sequence_length} is longer than the {model.config.max_positions} positions "
            f"of {settings.model}; shorten it"
        )


def load_conversations(settings: SftSettings, tokenizer: Tokenizer, *, prefix: Sequence[int] = ()) -> Conversations:
    """Read, split and encode. A source without a validation split gives up a share of its rows, chosen by id.

    A `prefix`, the virtual tokens of a prompt, comes before each conversation.
    """
    rows = read_conversations(settings.conversations, "train")
    if has_split(settings.conversations, "validation"):
        held = read_conversations(settings.conversations, "validation")
    else:
        rows, held = split_rows(rows, share=settings.validation_share, seed=settings.seed)
    room = settings.sequence_length - len(prefix)
    if room < 2:
        raise ConfigError(
            f"sequence_length={settings.sequence_length} leaves no room beside {len(prefix)} virtual tokens; raise it"
        )
    encode = functools.partial(encode_conversations, tokenizer=tokenizer, max_length=room)
    questions = choose_questions(held or rows, count=settings.samples)
    return Conversations(prefixed(encode(rows), prefix), prefixed(encode(held), prefix) if held else None, questions)


def prefixed(encoded: Encoded, prefix: Sequence[int]) -> Encoded:
    """The same conversations after tokens that are read, not learnt."""
    unlearnt = [False] * len(prefix)
    examples = [Example([*prefix, *one.ids], [*unlearnt, *one.learn]) for one in encoded.examples]
    return replace(encoded, examples=examples)


def split_rows(rows: Sequence[Row], *, share: float, seed: int) -> tuple[list[Row], list[Row]]:
    """Rows to learn from and held-out rows; at least one is held out of several where the share is above 0."""
    place = {row.place: split_hash(row.id, seed=seed) for row in rows}
    limit = share * HASH_RANGE
    if share > 0 and len(rows) > 1:
        limit = max(limit, min(place.values()) + 1)
    return [r for r in rows if place[r.place] >= limit], [r for r in rows if place[r.place] < limit]


def packed_data(settings: SftSettings, encoded: Encoded) -> PackedData[Example]:
    """Packed rows in training order."""
    rows = pack([len(example.ids) for example in encoded.examples], capacity=settings.sequence_length)
    return PackedData(encoded.examples, rows, Sampler(len(rows), settings.seed), settings.batch_size, packed_batch)


def held_out(settings: SftSettings, encoded: Encoded | None) -> list[Batch]:
    """The first held-out conversations, packed into batches."""
    if encoded is None:
        return []
    size = settings.batch_size
    rows = pack([len(example.ids) for example in encoded.examples], capacity=settings.sequence_length)
    examples = [[encoded.examples[n] for n in row] for row in rows[: size * settings.validation_batches]]
    return [packed_batch(examples[at : at + size]) for at in range(0, len(examples), size)]


def validate(parallel: ParallelModel, batches: list[Batch], compute: Compute) -> Mapping[str, float]:
    """Loss of held-out answers and share of their tokens guessed right, or nothing where nothing is held out."""
    if not batches:
        return {}
    with parallel.measuring() as model, compute.precision():
        model.eval()
        measured = measure(model, batches, device=compute.device)
    return {"validation_loss": measured.loss, "validation_accuracy": measured.accuracy}


def sample_answers(tuning: Tuning, *, max_tokens: int) -> list[str]:
    """What the model says now to the held-out questions; by all processes where none has the whole model."""
    questions, parts = tuning.conversations.questions, tuning.parts
    if not questions:
        return []
    laid_out: object = parts.laid_out
    if isinstance(laid_out, ParallelModel) and not laid_out.plan.is_plain:
        tokenizer, compute = tuning.tokenizer, parts.compute
        return answer_in_parts(laid_out, tokenizer, questions, max_tokens=max_tokens, compute=compute)
    model = parts.laid_out.whole()
    said: list[str] = []
    if model is not None:
        with parts.compute.precision():
            said = answer(model, tuning.tokenizer, questions, max_tokens=max_tokens)
    answers: list[str] = json.loads(parts.world.from_first(json.dumps(said)))
    return answers


def compare_answers(questions: Sequence[Question], account: Account, after: list[str]) -> list[dict[str, str]]:
    """Each question with the answers before and after training."""
    return [
        {"prompt": question.text, "before": old, "after": new, "reference": question.reference}
        for question, old, new in zip(questions, account.notes["answers"], after, strict=True)
    ]


def write_models(settings: SftSettings, parts: Parts, folder: Path) -> None:
    """The tuned model and its average; or with an adapter, that, and the model with it merged where it is wanted."""
    if settings.method == "full":
        save_models(parts, folder, tokenizer=settings.model)
        return
    with parts.laid_out.reading() as whole:
        if whole is not None:
            write_adapted(settings, whole, folder)
            copy_tokenizer(settings.model, folder)


def write_adapted(settings: SftSettings, whole: Whole, folder: Path) -> None:
    """The adapter's folder and, where it is wanted, the model with it merged, tensor by tensor."""
    model = with_adapter(whole.model, whole.read)
    save_adapter(model, folder / "adapter" if settings.is_merged else folder, base=str(settings.model))
    if settings.is_merged:
        merging_of(settings, model, whole, folder).save(folder)


def merging_of(settings: SftSettings, model: Decoder, whole: Whole, folder: Path) -> Merging:
    """The merged model; weights kept in four bits are read again, so that none of them is rounded."""
    if settings.is_quantized:
        return merging_folders(settings.model, folder / "adapter")
    names = frozen_names(whole.infos)
    infos = {name: whole.infos[own] for name, own in names.items()}
    return Merging(model, infos, lambda name: whole.read(names[name]))


def write_samples(samples: list[dict[str, str]], folder: Path) -> None:
    """The questions and what was answered before and after training."""
    lines = "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples)
    (folder / SAMPLES).parent.mkdir(exist_ok=True)
    atomic.write_text(folder / SAMPLES, lines)


def conversation_figures(settings: SftSettings, tuning: Tuning) -> dict[str, Any]:
    """How many conversations were learnt from, cut or left out, and how."""
    encoded, validation = tuning.conversations.train, tuning.conversations.validation
    trained = sum(layer.numel() for layer in tuning.parts.optimizer.state) if tuning.parts.optimizer.state else 0
    trained = tuning.parts.model.config.num_parameters if settings.implementation != "native" else trained
    return {
        "method": settings.method,
        "trained_parameters": trained,
        "conversations": len(encoded.examples),
        "held_out_conversations": len(validation.examples) if validation else 0,
        "cut_to_length": encoded.cut,
        "left_out_without_answer": encoded.without_answer[:20],
    }
