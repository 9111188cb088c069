"""Write the pages of docs/reference that nemo-curator's tables hold: rules, old names; ``--check`` only compares.

Needs an environment with nemo-curator.
"""

import sys

from packages import ROOT

from nemo_curator import old_names
from nemo_curator.filter import overview

PAGES = {"filters.md": overview.markdown, "old-names.md": old_names.markdown}


def main(words: list[str]) -> int:
    """Write or compare the pages; the exit code."""
    differing = 0
    for name, markdown in PAGES.items():
        page = ROOT / "docs/reference" / name
        if "--check" not in words:
            page.write_text(markdown(), encoding="utf-8")
        elif not page.is_file() or page.read_text(encoding="utf-8") != markdown():
            print(f"{page}: differs; run tools/write_pages.py")
            differing += 1
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
