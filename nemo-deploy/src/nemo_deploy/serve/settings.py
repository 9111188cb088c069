"""Settings of ``nemo-deploy serve``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta

Device = Annotated[
    Literal["auto", "cpu", "cuda"], Meta(description="where the model runs; auto takes a GPU if there is one")
]
Dtype = Annotated[Literal["fp32", "bf16"], Meta(description="number format while serving; CPUs are fastest in fp32")]


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """A model folder, where to listen, and what to allow."""

    model: Annotated[Path, Meta(description="folder of a model: exported, checkpoint, or a Hugging Face folder")]
    host: Annotated[str, Meta(description="address to listen on; others than loopback need an API key")] = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535, description="port to listen on; 0 takes a free one")] = 8000
    served_model_name: Annotated[
        str | None, Meta(description="name that clients ask for; default: the folder's name")
    ] = None
    max_slots: Annotated[int, Meta(ge=1, le=1024, description="requests generated at once")] = 16
    max_queue: Annotated[int, Meta(ge=0, description="requests kept waiting before 429")] = 256
    max_length: Annotated[
        Annotated[int, Meta(ge=2)] | None,
        Meta(description="context length in tokens; default: what the model was made for"),
    ] = None
    max_body_bytes: Annotated[int, Meta(ge=1024, description="largest request body accepted")] = 4 * 2**20
    api_key_env: Annotated[
        str | None, Meta(description="environment variable that holds the API key clients must send")
    ] = None
    api_key_file: Annotated[Path | None, Meta(description="file with one accepted API key per line")] = None
    insecure: Annotated[bool, Meta(description="listen on a public address without an API key")] = False
    drain_s: Annotated[int, Meta(ge=0, description="seconds that running requests get to end after SIGTERM")] = 20
    end_with_stdin: Annotated[
        bool, Meta(description="stop when standard input closes: for a program that starts a server and may be killed")
    ] = False
    device: Device = "auto"
    dtype: Dtype = "fp32"
    threads: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="CPU threads of the model; default: all cores")
    ] = None
