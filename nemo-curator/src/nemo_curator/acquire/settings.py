"""Settings of ``nemo-curator acquire``."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from msgspec import Meta

from .download.settings import Download
from .sources.arxiv import Arxiv
from .sources.common_crawl import CommonCrawl
from .sources.wikipedia import Wikipedia

SOURCE = (
    "python-docs: the documentation of the running Python's standard library; common-crawl, wikipedia, arxiv; urls: "
    "addresses of your own; or the name of a source that another package offers"
)


@dataclass(frozen=True, kw_only=True)
class Acquire:
    """Where raw pages come from."""

    source: Annotated[str, Meta(description=SOURCE)]
    output: Annotated[Path, Meta(description="folder of the raw-web artifact to make")]
    overwrite: Annotated[bool, Meta(description="replace the output where it exists")] = False
    limit: Annotated[
        Annotated[int, Meta(ge=1)] | None, Meta(description="fetch only the first files of the listing")
    ] = None
    workers: Annotated[int, Meta(ge=0, description="python-docs: processes; 0 is one per core")] = 0
    modules: Annotated[list[str] | None, Meta(description="python-docs: only these modules and what is in them")] = None
    common_crawl: CommonCrawl = field(default_factory=CommonCrawl)
    wikipedia: Wikipedia = field(default_factory=Wikipedia)
    arxiv: Arxiv = field(default_factory=Arxiv)
    urls: Annotated[list[str], Meta(description="urls: addresses to fetch")] = field(default_factory=list)
    url_file: Annotated[Path | None, Meta(description="urls: file with one address a line; # begins a comment")] = None
    options: Annotated[dict[str, str], Meta(description="settings of a source that another package offers")] = field(
        default_factory=dict
    )
    download: Download = field(default_factory=Download)
