"""Commands that fetch or make raw text."""

from ..foundation.command import Command, Stage

COMMANDS = (
    Command(
        name="acquire",
        summary="raw pages or texts: Python's documentation, Common Crawl, Wikipedia, arXiv, or addresses of your own",
        settings="nemo_curator.acquire.settings:Acquire",
        run="nemo_curator.acquire.run:run",
        examples=(
            "nemo-curator acquire source=python-docs output=pages",
            "nemo-curator acquire source=common-crawl common_crawl.start=2024-10 limit=2 output=crawl",
            "nemo-curator acquire source=common-crawl common_crawl.start=2024-10 common_crawl.kind=wet output=texts",
            "nemo-curator acquire source=wikipedia wikipedia.language=sw output=articles",
            "nemo-curator acquire source=urls 'urls=[https://example.org/a.warc.gz]' output=mine",
        ),
        stage=Stage(inputs={}, output="raw-web", cpus=2, memory_gib=1),
    ),
)
