"""A device for tests that computes on the CPU and refuses what lies elsewhere (strict_device.cpp), as a GPU does.

It is no GPU: streams, memory, other formats and speed are not there. What it finds is what would fail at once on one.
"""

import contextlib
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import torch

from nemo_core.train import device as compute_device
from nemo_core.train.device import Compute

SOURCE = Path(__file__).with_suffix(".cpp")
NAME = "strict"


def compiler() -> str | None:
    """A C++ compiler, or None."""
    return shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")


def build(folder: Path) -> Path:
    """Compile the device against the installed torch."""
    from torch.utils.cpp_extension import include_paths, library_paths

    library = folder / "strict_device.so"
    abi = f"-D_GLIBCXX_USE_CXX11_ABI={int(torch.compiled_with_cxx11_abi())}"
    flags = ["-std=c++20", "-O1", "-fPIC", "-shared", abi]
    headers = [word for path in include_paths() for word in ("-isystem", path)]
    libraries = [*(f"-L{path}" for path in library_paths()), "-lc10", "-ltorch_cpu"]
    command = [str(compiler()), *flags, *headers, str(SOURCE), "-o", str(library), *libraries]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return library


def start(library: Path) -> torch.device:
    """Make the device known to torch, in this process for good; the device."""
    torch.ops.load_library(library)
    torch.utils.rename_privateuse1_backend(NAME)
    module: Any = types.ModuleType(f"torch.{NAME}")
    module.is_available = lambda: True
    module.device_count = lambda: 1
    module.current_device = lambda: 0
    module._is_in_bad_fork = lambda: False
    module.manual_seed_all = module.manual_seed = lambda seed: None
    module.get_rng_state = lambda device=0: torch.zeros(16, dtype=torch.uint8)
    module.set_rng_state = lambda state, device=0: None
    module.get_amp_supported_dtype = lambda: [torch.bfloat16]
    module.device = lambda device: contextlib.nullcontext()
    torch._register_device_module(NAME, module)
    torch.utils.generate_methods_for_privateuse1_backend()
    return torch.device(NAME, 0)


def compute_there(device: torch.device) -> None:
    """Let every command of nemo-core compute on `device`, in float32."""
    chosen = compute_device.choose_compute

    def there(settings: Any) -> Compute:
        chosen(settings)
        return Compute(device, torch.float32)

    for name, module in list(sys.modules.items()):
        if name.startswith("nemo_core.") and getattr(module, "choose_compute", None) is chosen:
            module.choose_compute = there  # type: ignore[attr-defined]
