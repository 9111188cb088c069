"""Write docs/reference/old-names.md from the table of nemo-curator; ``--check`` only compares.

Needs an environment with nemo-curator.
"""

import sys

from packages import ROOT

from nemo_curator.old_names import markdown

PAGE = ROOT / "docs/reference/old-names.md"


def main(words: list[str]) -> int:
    """Write or compare the page; the exit code."""
    if "--check" in words:
        same = PAGE.is_file() and PAGE.read_text(encoding="utf-8") == markdown()
        print(f"{PAGE}: {'as the table is' if same else 'differs; run tools/write_old_names.py'}")
        return 0 if same else 1
    PAGE.write_text(markdown(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
