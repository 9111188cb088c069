"""`nemo-core distill`: pretraining whose targets are a teacher's distributions."""

from dataclasses import replace

from ..checkpoint.folder import check_folder, load_model
from ..data.collection import check_maker
from ..foundation.errors import ConfigError
from ..model.decoder import Decoder
from ..train.balance import balanced
from ..train.loop import Parts, train
from ..train.pretrain import assemble as assemble_pretraining
from ..train.pretrain import inputs_of, open_collections
from ..train.session import TrainResult, figures, make_plan, save_models, shared_draft, summary
from ..train.world import ALONE, World, joined_world
from .loss import DistillationLoss
from .settings import DistillSettings

STATES = ("hidden_weight", "layer_weight", "attention_weight")


def run(settings: DistillSettings) -> TrainResult:
    """Make the checkpoint of `settings`."""
    collections = open_collections(settings)
    files = [path for collection in collections for path in collection.files]
    inputs = {**inputs_of(settings), "teacher": settings.teacher}
    with (
        joined_world(settings.parallel.timeout_s) as world,
        shared_draft(settings, inputs, world, files=files) as draft,
    ):
        parts = assemble(settings, world)
        account = train(parts, make_plan(settings, label="distill", steps=settings.steps), draft.path)
        save_models(parts, draft.path, tokenizer=collections[0].tokenizer)
        draft.stats.update(figures("distill", parts.model, account))
    return summary(settings.output, draft.stats)


def assemble(settings: DistillSettings, world: World = ALONE) -> Parts:
    """The parts of pretraining with a teacher in the objective. Raises ConfigError where the two do not fit."""
    parallel = settings.parallel
    for name, degree in {"pipeline": parallel.pipeline, "context": parallel.context}.items():
        if degree > 1:
            raise ConfigError(
                f"parallel.{name}={degree}: a teacher sees whole models and rows; distil with parallel.data, fsdp, "
                "tensor or expert"
            )
    check_teacher(settings)
    parts = assemble_pretraining(settings, world)
    teacher = load_model(check_folder(settings.teacher), device=str(parts.compute.device)).requires_grad_(False)
    check_pair(settings, parts.model, teacher)
    loss = DistillationLoss(
        teacher,
        temperature=settings.temperature,
        mixture=settings.mixture,
        share=settings.share,
        **{name: getattr(settings, name) for name in STATES},
    )
    objective = balanced(loss, parts.model.config, settings.experts, settings.parallel)
    return replace(parts, objective=objective)


def check_teacher(settings: DistillSettings) -> None:
    """Raise InputError where the teacher's folder holds another tokenizer than that of the tokens."""
    check_folder(settings.teacher)
    if (settings.teacher / "tokenizer.json").exists():
        check_maker(open_collections(settings)[0].tokenizer, settings.teacher)


def check_pair(settings: DistillSettings, student: Decoder, teacher: Decoder) -> None:
    """Raise ConfigError unless the teacher knows the student's tokens and positions, and hidden states compare."""
    mine, theirs = student.config, teacher.config
    if mine.vocab_size != theirs.vocab_size:
        raise ConfigError(
            f"the student has {mine.vocab_size} tokens, teacher={settings.teacher} {theirs.vocab_size}: their "
            "distributions cannot be compared; take a teacher with the same tokenizer"
        )
    if settings.sequence_length > theirs.max_positions:
        raise ConfigError(
            f"sequence_length={settings.sequence_length} is longer than the teacher's {theirs.max_positions} positions"
        )
    for name in STATES:
        if getattr(settings, name) and mine.hidden_size != theirs.hidden_size:
            raise ConfigError(
                f"{name}={getattr(settings, name)} compares hidden states, but the student's have {mine.hidden_size} "
                f"features and the teacher's {theirs.hidden_size}; set it to 0"
            )
