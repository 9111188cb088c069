"""Write the ``exported`` artifact: a Hugging Face folder and the verification of it."""

import json
from dataclasses import dataclass
from pathlib import Path

from nemo_core.checkpoint.folder import check_folder, copy_tokenizer
from nemo_core.foundation import artifact, atomic
from nemo_core.foundation.errors import ArtifactError
from nemo_core.foundation.settings import to_plain
from nemo_core.tokenizer.load import load_tokenizer

from .settings import ExportSettings
from .verify import Verification, verify
from .weights import left_out, target_dtype, write_generation_config, write_merged, write_plain

ADAPTER_KINDS = ("adapter",)


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """What `nemo-deploy export` prints."""

    output: str
    parameters: int
    bytes: int
    dtype: str
    max_abs_difference: float
    tolerance: float


def run(settings: ExportSettings) -> ExportResult:
    """Make the exported artifact of `settings`. Raises ArtifactError where what was written says something else."""
    check_folder(settings.model)
    inputs = {"model": settings.model}
    if settings.adapter is not None:
        check_adapter(settings.adapter)
        inputs["adapter"] = settings.adapter
    with artifact.create(
        settings.output,
        kind="exported",
        package="nemo-deploy",
        config=to_plain(settings),
        inputs=inputs,
        overwrite=settings.overwrite,
    ) as draft:
        verification = write(settings, draft.path)
        plain = verification.to_plain()
        atomic.write_text(draft.path / "verification.json", json.dumps(plain, indent=1) + "\n")
        draft.stats.update(plain)
    return ExportResult(
        output=str(settings.output),
        parameters=verification.parameters,
        bytes=verification.bytes,
        dtype=verification.dtype,
        max_abs_difference=verification.max_abs_difference,
        tolerance=verification.tolerance,
    )


def check_adapter(folder: Path) -> None:
    """Raise ArtifactError unless `folder` is a sound adapter artifact, or a PEFT folder."""
    if (folder / artifact.MANIFEST).is_file():
        artifact.read(folder, ADAPTER_KINDS)
    elif not (folder / "adapter_config.json").is_file():
        raise ArtifactError(f"adapter={folder}: holds no adapter_config.json, so it is no PEFT folder")


def write(settings: ExportSettings, target: Path) -> Verification:
    """Fill `target` and check it against the source."""
    source, dtype = settings.model, target_dtype(settings.model, settings.dtype)
    if settings.adapter is not None:
        write_merged(source, settings.adapter, target, dtype=dtype)
    else:
        write_plain(source, target, dtype=dtype)
    copy_tokenizer(source, target)
    write_generation_config(source, target, load_tokenizer(source))
    dropped = left_out(source, target)
    return verify(source, settings.adapter, target, tolerance=settings.tolerance, left_out=dropped)
