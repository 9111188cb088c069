"""What the READMEs and pages tell a reader to type works, from nothing, in order, in an empty folder."""

import subprocess
from pathlib import Path

import pytest
from markdown_blocks import Block, blocks, run

ROOT = Path(__file__).parents[2]
PAGES = [
    path
    for pattern in ("*.md", "nemo-*/README.md", "docs/**/*.md", "examples/*/README.md")
    for path in sorted(ROOT.glob(pattern))
    if any(block.runs for block in blocks(path.read_text(encoding="utf-8")))
]


def run_or_fail(block: Block, folder: Path, page: str) -> None:
    try:
        run(block, folder)
    except subprocess.CalledProcessError as error:
        pytest.fail(f"{page}:{block.line}: exit code {error.returncode}\n{block.text}\n{error.stdout[-4000:]}")
    except subprocess.TimeoutExpired as error:
        pytest.fail(f"{page}:{block.line}: not done after {error.timeout:.0f} s\n{block.text}")


@pytest.mark.slow
@pytest.mark.parametrize("page", [str(path.relative_to(ROOT)) for path in PAGES])
def test_code_blocks_run_in_order(page, tmp_path, record_property):
    found = list(blocks((ROOT / page).read_text(encoding="utf-8")))
    record_property("not_run", sum("no-run" in block.info for block in found))
    for block in (block for block in found if block.runs):
        run_or_fail(block, tmp_path, page)
