"""``nemo-core merge`` and ``unmerge``."""

from pathlib import Path
from typing import Any

from torch import Tensor

from ..checkpoint.folder import check_folder, copy_tokenizer, load_model, save_model
from ..checkpoint.tensors import iterate_file
from ..checkpoint.writer import write_shard
from ..foundation import artifact
from ..foundation.errors import ArtifactError
from ..foundation.settings import to_plain
from .merge import Merged, unmerge
from .merging import merging_folders
from .settings import MergeSettings, UnmergeSettings

ORIGINAL = Path("unmerge", "original.safetensors")


def run_merge(settings: MergeSettings) -> dict[str, Any]:
    """Write the model with its adapter added into the weights, in the precision it had, tensor by tensor."""
    inputs = {"model": settings.model, "adapter": settings.adapter}
    with artifact.create(
        settings.output,
        kind="checkpoint",
        package="nemo-core",
        config=to_plain(settings),
        inputs=inputs,
        overwrite=settings.overwrite,
    ) as draft:
        merging = merging_folders(settings.model, settings.adapter)
        merging.save(draft.path)
        copy_tokenizer(settings.model, draft.path)
        if settings.keep_original:
            (draft.path / ORIGINAL).parent.mkdir(exist_ok=True)
            infos = {name: merging.infos[name] for name in merging.changed}
            write_shard(draft.path / ORIGINAL, infos, merging.read)
        parameters = merging.model.config.num_parameters
        draft.stats |= {"objective": "merge", "parameters": parameters}
    return {"output": str(settings.output), "parameters": parameters}


def run_unmerge(settings: UnmergeSettings) -> dict[str, Any]:
    """Write the model as it was before the merge. Raises ArtifactError where its weights were not kept."""
    check_folder(settings.model)
    if not (settings.model / ORIGINAL).is_file():
        raise ArtifactError(
            f"{settings.model}: holds no {ORIGINAL}, and subtracting an update does not give the weights back; take "
            "the model that was merged (its path is in manifest.json), or merge again with keep_original=true"
        )
    with artifact.create(
        settings.output,
        kind="checkpoint",
        package="nemo-core",
        config=to_plain(settings),
        inputs={"model": settings.model},
        overwrite=settings.overwrite,
    ) as draft:
        kept = dict(iterate_file(settings.model / ORIGINAL))
        dtype = next(iter(kept.values())).dtype
        model = load_model(settings.model, dtype=dtype)
        unmerge(model, Merged("", regrouped(kept, settings.model)))
        save_model(model, draft.path)
        copy_tokenizer(settings.model, draft.path)
        draft.stats |= {"objective": "unmerge", "parameters": model.config.num_parameters, "tensors": len(kept)}
    return {"output": str(settings.output), "tensors": len(kept)}


def regrouped(kept: dict[str, Tensor], folder: Path) -> dict[str, tuple[Tensor, Tensor | None]]:
    """Weight and bias of each module. Raises ArtifactError for a bias without its weight."""
    names = sorted({name.rpartition(".")[0] for name in kept})
    alone = [name for name in names if f"{name}.weight" not in kept]
    if alone:
        raise ArtifactError(f"{folder / ORIGINAL}: lacks {alone[0]}.weight; merge again with keep_original=true")
    return {name: (kept[f"{name}.weight"], kept.get(f"{name}.bias")) for name in names}
