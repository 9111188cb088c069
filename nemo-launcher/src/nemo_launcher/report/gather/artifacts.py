"""The manifest of each stage's artifact."""

from pathlib import Path

from ...foundation import artifact as store
from ...foundation.errors import ArtifactError
from ..view import Artifact
from .reading import Reader


def read_artifact(stage: str, folder: Path, reader: Reader) -> Artifact | None:
    """The artifact in `folder` by its manifest, unverified; None where there is none."""
    if not (folder / store.MANIFEST).is_file():
        return None
    try:
        manifest = store.load_manifest(folder)
    except ArtifactError as error:
        reader.note(f"The artifact of {stage} is left out: {error}.")
        return None
    path = reader.relative(folder)
    return Artifact(
        stage=stage,
        path=path,
        kind=manifest.kind,
        digest=manifest.digest,
        created=manifest.created,
        bytes=sum(record.bytes for record in manifest.files),
        num_files=len(manifest.files),
        producer=manifest.producer,
        config=manifest.config,
        stats=manifest.stats,
        pages=tuple(f"{path}/{record.path}" for record in manifest.files if record.path.endswith(".html")),
    )
