"""Compiles the kernels (native/*.c) while a wheel or an editable installation is made.

The compiler is Zig's, from the package index, so that nobody has to have one and every wheel is built alike; where the
environment sets CC, that is used. Each instruction set level of the machine gets a library; the best is chosen at run
time. NEMO_KERNEL_TARGET names another platform to build a wheel for.
"""

import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

COMPILER = "ziglang>=0.15,<0.18"
TARGET_VARIABLE = "NEMO_KERNEL_TARGET"

# Zig would trap undefined behaviour in the release as well; a test builds with that on.
FLAGS = (
    *("-std=c11", "-O3", "-Wall", "-Wextra", "-fPIC", "-fvisibility=hidden"),
    *("-fno-math-errno", "-g0", "-shared"),
)
ZIG_FLAGS = ("-fno-sanitize=all", "-s", "-nostdlib")  # the C library's expf and memcpy, not those of Zig's own runtime
LIBRARIES = ("-lc", "-lm")


@dataclass(frozen=True)
class Target:
    """A platform: what Zig calls it, and the tag of its wheels."""

    zig: str
    tag: str


TARGETS = {
    "linux-x86_64": Target("x86_64-linux-gnu.2.17", "manylinux_2_17_x86_64.manylinux2014_x86_64"),
    "linux-aarch64": Target("aarch64-linux-gnu.2.17", "manylinux_2_17_aarch64.manylinux2014_aarch64"),
    "musl-x86_64": Target("x86_64-linux-musl", "musllinux_1_2_x86_64"),
    "musl-aarch64": Target("aarch64-linux-musl", "musllinux_1_2_aarch64"),
    "macos-x86_64": Target("x86_64-macos.11.0", "macosx_11_0_x86_64"),
    "macos-aarch64": Target("aarch64-macos.11.0", "macosx_11_0_arm64"),
}


class KernelBuild(BuildHookInterface):
    """Puts the libraries into `folder` of the wheel, or of the sources where they are installed to be edited."""

    PLUGIN_NAME = "custom"

    def dependencies(self) -> list[str]:
        """What the build needs beside hatchling."""
        return [] if compiler_of_user() else [COMPILER]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile."""
        root, place = Path(self.root), self.config["folder"]
        names = load(root / "src" / place.partition("/")[0] / "foundation/sources.py")
        target = os.environ.get(TARGET_VARIABLE) or this_platform()
        self.workplace = Path(tempfile.mkdtemp(prefix="nemo-kernels-"))
        built = build(root / "native", self.workplace, target=target, names=names, flags=self.config["flags"])
        build_data["pure_python"] = False
        build_data["tag"] = f"py3-none-{tag_of(target)}"
        if version == "editable":
            keep(built, root / "src" / place)
        else:
            build_data["force_include"].update({str(path): f"{place}/{path.name}" for path in built})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Leave nothing behind."""
        shutil.rmtree(self.workplace, ignore_errors=True)


def compiler_of_user() -> list[str]:
    """The words of CC, none where it is not set."""
    return shlex.split(os.environ.get("CC", ""))


def load(path: Path) -> ModuleType:
    """A module of the package, which is not installed yet."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def this_platform() -> str:
    """The name of this machine among TARGETS, if it is there."""
    machine = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    system = "macos" if sys.platform == "darwin" else sys.platform
    if system == "linux" and "musl" in (sysconfig.get_config_var("HOST_GNU_TYPE") or ""):
        system = "musl"
    return f"{system}-{machine}"


def tag_of(target: str) -> str:
    """The platform tag of a wheel; what a compiler of the user's links is only known to be on this machine."""
    if compiler_of_user():
        return sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return TARGETS[target].tag


def command(target: str) -> tuple[list[str], tuple[str, ...], str]:
    """The compiler, its own flags, and the name of its option that chooses the processor."""
    own = compiler_of_user()
    if own and shutil.which(own[0]) is None:
        raise SystemExit(f"CC={os.environ['CC']}: no such compiler; name one that is there, or unset CC to use Zig's")
    if own:
        return own, (), "-march=x86-64-{}"
    if target not in TARGETS:
        raise SystemExit(f"no kernels are built for {target} (only {', '.join(TARGETS)}); set CC to a C compiler")
    if importlib.util.find_spec("ziglang") is None:
        raise SystemExit(f"the compiler is missing: pip install '{COMPILER}', or set CC to a C compiler such as gcc")
    zig = [sys.executable, "-m", "ziglang", "cc"]
    return zig, ("-target", TARGETS[target].zig, *ZIG_FLAGS), "-mcpu=x86_64_{}"


def build(native: Path, folder: Path, *, target: str, names: ModuleType, flags: list[str]) -> list[Path]:
    """One library for every level of the target's machine, in `folder`."""
    compiler, own_flags, option = command(target)
    sources = sorted(map(str, native.glob("*.c")))
    digest = names.digest(native)
    caches = {f"ZIG_{scope}_CACHE_DIR": str(folder / "cache") for scope in ("GLOBAL", "LOCAL")}

    def compiled(level: str) -> Path:
        path = folder / names.name(digest, level)
        processor = [] if level == "any" else [option.format(level)]
        words = [*compiler, *own_flags, *processor, *FLAGS, *flags, "-o", str(path), *sources, *LIBRARIES]
        done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, **caches})
        if done.returncode:
            remedy = "CC has to name a compiler of C11 for this machine" if compiler_of_user() else "try CC=gcc"
            raise SystemExit(f"{shlex.join(words)}\n{done.stderr}\ncompiling the kernels failed: {remedy}")
        return path

    with ThreadPoolExecutor() as pool:
        return list(pool.map(compiled, names.levels_of(target.partition("-")[2])))


def keep(built: list[Path], folder: Path) -> None:
    """Put the libraries beside the sources in one step each, and remove those of older sources."""
    for path in built:
        beside = folder / f".{path.name}.{os.getpid()}"
        shutil.copyfile(path, beside)
        beside.replace(folder / path.name)
    for stale in set(folder.glob("kernels-*.so")) - {folder / path.name for path in built}:
        stale.unlink(missing_ok=True)
