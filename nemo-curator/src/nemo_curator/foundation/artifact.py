"""Folders that stages hand to each other: data plus a ``manifest.json`` that says what it is and where it came from.

A stage writes into ``<output>.partial`` and the folder takes its final name only when every file is written,
hashed and synced. A run that was killed finds its own partial folder again and continues in it; a run with other
settings starts afresh. ``digest`` identifies the content: it covers the kind and every data file, and leaves out
logs (timings, reports), so that an interrupted and resumed run has the digest of an uninterrupted one.
"""

import contextlib
import datetime
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

import msgspec

from . import atomic
from .errors import ArtifactError, UserError
from .work import work_of

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
PROGRESS_NOTE = ".partial.json"
KINDS = (
    "raw-web",
    "documents",
    "tokenizer",
    "tokens",
    "conversations",
    "preferences",
    "checkpoint",
    "adapter",
    "evaluation",
    "exported",
    "engine",
    "endpoint",
    "report",
)
LOG_PATTERNS = ("metrics.jsonl", "*.log", "*.html", "tensorboard/*", "logs/*", "state/*")

Verify = Literal["sha256", "size"]


@dataclass(frozen=True, kw_only=True)
class FileRecord:
    """One file of an artifact: path relative to its folder, size in bytes, SHA-256, and whether it is data or a log."""

    path: str
    bytes: int
    sha256: str
    role: Literal["data", "log"] = "data"


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of ``manifest.json``; its JSON schemas are in ``docs/artifacts``."""

    kind: str
    schema_version: int = SCHEMA_VERSION
    producer: dict[str, str]
    config: dict[str, Any]
    inputs: dict[str, dict[str, str]]
    files: list[FileRecord]
    stats: dict[str, Any]
    digest: str
    created: str


@dataclass
class Draft:
    """An artifact being written: put files under `path`, figures into `stats`."""

    path: Path
    resumed: bool
    stats: dict[str, Any] = field(default_factory=dict)


def digest_of(value: Any) -> str:
    """SHA-256 of the canonical JSON form of `value`."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()).hexdigest()


def content_digest(kind: str, files: Sequence[FileRecord]) -> str:
    """Identity of an artifact's data: equal for equal data, whatever the machine, the path or the hour."""
    return digest_of([kind, sorted((f.path, f.sha256) for f in files if f.role == "data")])


def hash_file(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def role_of(relative: str) -> Literal["data", "log"]:
    """Logs hold timings and so differ from run to run; everything else is data."""
    return "log" if any(fnmatch(relative, pattern) for pattern in LOG_PATTERNS) else "data"


def list_files(folder: Path) -> list[FileRecord]:
    """Every file under `folder` but the manifest and hidden ones, in path order."""
    found = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    return [
        FileRecord(path=name, bytes=(folder / name).stat().st_size, sha256=hash_file(folder / name), role=role_of(name))
        for name in found
        if name != MANIFEST and not Path(name).name.startswith(".")
    ]


def describe_inputs(inputs: Mapping[str, Path]) -> dict[str, dict[str, str]]:
    """Path, kind and digest of each input; a plain file or folder of the user's own has kind "external"."""
    described = {}
    for name, path in inputs.items():
        if (Path(path) / MANIFEST).is_file():
            manifest = load_manifest(path)
            described[name] = {"path": str(path), "kind": manifest.kind, "digest": manifest.digest}
        else:
            described[name] = {"path": str(path), "kind": "external", "digest": external_digest(Path(path))}
    return described


def external_digest(path: Path) -> str:
    """Identity of a user's own input: names, sizes and modification times of its files."""
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    root = path.parent if path.is_file() else path
    return digest_of([(p.relative_to(root).as_posix(), p.stat().st_size, p.stat().st_mtime_ns) for p in files])


def load_manifest(folder: str | Path) -> Manifest:
    """The manifest of `folder`, unverified. Raises ArtifactError where it is absent, torn or newer than this code."""
    path = Path(folder) / MANIFEST
    if not Path(folder).is_dir():
        raise ArtifactError(f"{folder}: no such folder")
    if not path.is_file():
        raise ArtifactError(f"{folder}: no {MANIFEST}, so this is no finished artifact")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        version = raw["schema_version"]
        if version > SCHEMA_VERSION:
            raise ArtifactError(
                f"{path}: schema version {version} is newer than this package reads ({SCHEMA_VERSION}); upgrade it"
            )
        return msgspec.convert(raw, Manifest)
    except (ValueError, KeyError, TypeError, RecursionError, msgspec.ValidationError) as error:
        raise ArtifactError(f"{path}: not a valid manifest ({error}); make the artifact again") from error


def read(folder: str | Path, kind: str | Sequence[str], *, verify: Verify | None = None) -> Manifest:
    """The checked manifest of `folder`.

    `verify` is "sha256" (default, or the environment's NEMO_VERIFY) or "size", which trusts content of the right
    length. Raises ArtifactError naming the folder and file where the kind is another, the schema is newer, or a file
    is missing or altered.
    """
    manifest = load_manifest(folder)
    wanted = (kind,) if isinstance(kind, str) else tuple(kind)
    if manifest.kind not in wanted:
        raise ArtifactError(f"{folder}: holds {manifest.kind!r}, but {' or '.join(map(repr, wanted))} is needed here")
    level = verify or os.environ.get("NEMO_VERIFY", "sha256")
    for record in manifest.files:
        check_file(Path(folder), record, level)
    return manifest


def check_file(folder: Path, record: FileRecord, level: str) -> None:
    """Raise ArtifactError unless the file is there and as it was written."""
    path = folder / record.path
    if not path.is_file():
        raise ArtifactError(f"{path}: listed in {MANIFEST} but missing; restore it or make the artifact again")
    size = path.stat().st_size
    if size != record.bytes:
        raise ArtifactError(f"{path}: altered since it was written ({size} bytes, {record.bytes} expected)")
    if level == "sha256" and hash_file(path) != record.sha256:
        raise ArtifactError(f"{path}: altered since it was written (SHA-256 differs); make the artifact again")


@contextlib.contextmanager
def create(
    output: str | Path,
    *,
    kind: str,
    package: str,
    config: Mapping[str, Any],
    inputs: Mapping[str, Path] | None = None,
    overwrite: bool = False,
    incidental: Collection[str] = (),
) -> Iterator[Draft]:
    """A draft folder that becomes the artifact `output` when the block ends without an error.

    `config` is the resolved config; it (but for its `incidental` keys, which leave the result as it is) and the
    inputs' digests decide whether an earlier partial folder is continued (`Draft.resumed`). Raises ArtifactError where
    `output` exists and `overwrite` is false or it is no artifact, where it and an input lie in one another, or where
    another process is writing it.
    """
    output = Path(output)
    if kind not in KINDS:
        raise ArtifactError(f"unknown artifact kind {kind!r}; one of {', '.join(KINDS)}")
    check_output(output, overwrite=overwrite)
    keep_apart(output, inputs or {})
    described = describe_inputs(inputs or {})
    plain = json.loads(json.dumps(config, default=str))
    with (
        atomic.explain_disk_full(output),
        claimed(output, work_of(kind, without(plain, incidental), described)) as draft,
    ):
        yield draft
        manifest = finish(draft, kind=kind, package=package, config=plain, inputs=described)
        atomic.write_text(draft.path / MANIFEST, json.dumps(asdict(manifest), indent=1, ensure_ascii=False) + "\n")
        atomic.replace_folder(draft.path, output)
        (output / PROGRESS_NOTE).unlink()


def check_output(output: Path, *, overwrite: bool) -> None:
    """Raise ArtifactError unless `output` is free, or an artifact that may be replaced: never a user's own folder."""
    if output.is_symlink() and not output.exists():
        raise ArtifactError(f"{output}: a link to what is not there; remove the link, or name another output")
    if not output.exists():
        return
    if not overwrite:
        raise ArtifactError(f"{output}: exists already; name another output, or say overwrite=true to replace it")
    if not (output / MANIFEST).is_file():
        raise ArtifactError(
            f"{output}: exists, and is no artifact (it has no {MANIFEST}); overwrite=true replaces artifacts only: "
            "name another output, or move it aside"
        )


def keep_apart(output: Path, inputs: Mapping[str, Path]) -> None:
    """Raise ArtifactError where writing `output` would replace an input, or add files to one that is searched deeply.

    Those are called input or inputs; a model, a tokenizer or an artifact says itself which files are its own.
    """
    made = Path(os.path.realpath(output))
    for name, path in inputs.items():
        source = Path(os.path.realpath(path))  # Path.resolve fails where links lead in a circle
        if source == made or made in source.parents:
            raise ArtifactError(
                f"{output}: is or holds {name}={path}, and inputs are never replaced; name another output"
            )
        if source in made.parents and name.startswith("input"):
            raise ArtifactError(
                f"{output}: lies inside {name}={path}, whose next reader would take it for input; "
                f"name an output beside that folder"
            )


def check_output_file(output: Path, inputs: Mapping[str, Path], *, overwrite: bool) -> None:
    """Raise ArtifactError unless a single file can be made at `output`; removes what killed processes left of it.

    An input is never replaced, a folder neither, and a file only with `overwrite`.
    """
    if output.is_dir():
        raise ArtifactError(f"{output}: is a folder, and one file is written; name a file, such as {output / 'out'}")
    keep_apart(output, inputs)
    if output.exists() and not overwrite:
        raise ArtifactError(f"{output}: exists already; name another output, or say overwrite=true to replace it")
    with atomic.explain_no_place(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(output.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(output.parent))
    atomic.remove_torn(output)


def without(config: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """The config but for some keys."""
    return {name: value for name, value in config.items() if name not in names}


@contextlib.contextmanager
def claimed(output: Path, work: Sequence[Any]) -> Iterator[Draft]:
    """The partial folder of `output`, locked; emptied first unless it belongs to the same work."""
    partial = partial_of(output)
    with contextlib.ExitStack() as stack:
        with atomic.explain_no_place(output):
            output.parent.mkdir(parents=True, exist_ok=True)
            try:
                stack.enter_context(atomic.locked(output.parent / f".{output.name}.lock"))
            except BlockingIOError:
                raise ArtifactError(
                    f"{output}: another process is writing it; wait for it or name another output"
                ) from None
        resumed = partial_identity(partial) == digest_of(work)
        if resumed:
            (partial / MANIFEST).unlink(missing_ok=True)  # written, but the kill came before the folder's last name
            atomic.remove_torn_below(partial)
        try:
            if not resumed:
                start_afresh(partial, work)
            yield Draft(path=partial, resumed=resumed)
        except UserError:
            forget_empty(partial)
            raise


def partial_of(output: Path) -> Path:
    """The folder that a run writes into before it takes the name `output`."""
    return output.parent / f"{output.name}.partial"


def forget_empty(partial: Path) -> None:
    """Remove a draft that holds nothing but notes (hidden files): after a mistake there is nothing to continue."""
    if (partial / PROGRESS_NOTE).is_file() and all(p.name.startswith(".") and p.is_file() for p in partial.iterdir()):
        shutil.rmtree(partial)


def partial_identity(partial: Path) -> str | None:
    """The identity a partial folder was started with; None where there is none or its note is torn."""
    try:
        return str(json.loads((partial / PROGRESS_NOTE).read_text(encoding="utf-8"))["identity"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def start_afresh(partial: Path, work: Sequence[Any]) -> None:
    """Put an empty draft in place of what another run left; a kill at any moment leaves the one or the other."""
    for name in ("started", "discarded"):
        shutil.rmtree(beside(partial, name), ignore_errors=True)
    clear_partial(partial)
    started = beside(partial, "started")
    started.mkdir()
    atomic.write_text(started / PROGRESS_NOTE, json.dumps({"identity": digest_of(work), "work": work}))
    os.replace(started, partial)


def clear_partial(partial: Path) -> None:
    """Remove what another run left, but never a folder that the suite did not make."""
    if not partial.exists():
        return
    if any(partial.iterdir()) and not (partial / PROGRESS_NOTE).exists():
        raise ArtifactError(f"{partial}: in the way, and not made by this tool; move it aside")
    os.replace(partial, beside(partial, "discarded"))
    shutil.rmtree(beside(partial, "discarded"))


def beside(partial: Path, name: str) -> Path:
    """A hidden neighbour of a partial folder."""
    return partial.with_name(f".{partial.name}.{name}")


def finish(
    draft: Draft, *, kind: str, package: str, config: dict[str, Any], inputs: dict[str, dict[str, str]]
) -> Manifest:
    """The manifest of a draft whose files are all written."""
    files = list_files(draft.path)
    return Manifest(
        kind=kind,
        producer=producer(package),
        config=config,
        inputs=inputs,
        files=files,
        stats=draft.stats,
        digest=content_digest(kind, files),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def producer(package: str) -> dict[str, str]:
    """Name, version and (where the package runs from a checkout) git revision of the code that writes."""
    from importlib.metadata import version

    return {"package": package, "version": version(package), "git_revision": git_revision(Path(__file__).parent)}


def git_revision(folder: Path) -> str:
    """The commit of the checkout that holds `folder`, read without running git; "" outside one."""
    root = next((p for p in folder.parents if (p / ".git").is_dir()), None)
    if root is None:
        return ""
    head = (root / ".git" / "HEAD").read_text(encoding="utf-8").strip()
    if not head.startswith("ref: "):
        return head
    reference = root / ".git" / head.removeprefix("ref: ")
    return reference.read_text(encoding="utf-8").strip() if reference.is_file() else ""
