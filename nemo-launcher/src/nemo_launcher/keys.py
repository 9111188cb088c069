"""Content keys: what a stage's output was made from, and whether that still holds."""

from collections.abc import Mapping
from pathlib import Path

from .foundation import artifact
from .foundation.errors import ArtifactError, InputError
from .journal import History
from .plan import Input, PlannedStage


def input_digest(source: Input) -> str:
    """Identity of an input's content: the digest in its manifest, or names, sizes and times of a user's own files."""
    path = Path(source.path)
    if not path.exists():
        raise InputError(f"{path}: gone since the run was planned; restore it or name another")
    if (path / artifact.MANIFEST).is_file():
        return artifact.load_manifest(path).digest
    return artifact.external_digest(path)


def content_key(stage: PlannedStage, digests: Mapping[str, str]) -> str:
    """Hash of the command, its version, its settings and its inputs' content."""
    return artifact.digest_of([stage.recipe_key, dict(sorted(digests.items()))])


def key_now(stage: PlannedStage) -> str:
    """The content key from the inputs as they are on disk."""
    return content_key(stage, {name: input_digest(source) for name, source in stage.inputs.items()})


def is_current(stage: PlannedStage, key: str, history: History) -> bool:
    """True where the output on disk is the one that was made from just this."""
    if not history.key or history.key != key:
        return False
    return stage.kind is None or output_digest(stage) == history.digest


def output_digest(stage: PlannedStage) -> str | None:
    """Digest of a stage's output, its files checked by size; None where it is absent or damaged."""
    if stage.kind is None:
        return ""
    try:
        return artifact.read(stage.output, stage.kind, verify="size").digest
    except ArtifactError:
        return None


def folder_identity(path: str) -> str:
    """Which folder is at `path` now, "" where there is none: a stage that finishes replaces it by another."""
    try:
        facts = Path(path).stat()
    except OSError:
        return ""
    return f"{facts.st_dev}:{facts.st_ino}"
