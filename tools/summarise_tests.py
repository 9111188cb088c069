"""Add up JUnit files into pytest's summary line: ``python tools/summarise_tests.py FOLDER FAILED_SESSIONS``."""

import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path


def count(folder: Path) -> Counter[str]:
    """Tests by outcome over all JUnit files in `folder`, and their seconds."""
    total: Counter[str] = Counter()
    for path in sorted(folder.glob("*.xml")):
        for suite in ElementTree.parse(path).iter("testsuite"):
            for name in ("tests", "failures", "errors", "skipped"):
                total[name] += int(suite.get(name, "0"))
            total["milliseconds"] += round(1000 * float(suite.get("time", "0")))
    return total


def summary(total: Counter[str], failed_sessions: int) -> str:
    """The last line of a run."""
    bad = total["failures"] + total["errors"]
    passed = total["tests"] - bad - total["skipped"]
    facts = [f"{passed} passed", f"{bad} failed", f"{total['skipped']} skipped"]
    if failed_sessions:
        facts.append(f"{failed_sessions} session{'s' if failed_sessions > 1 else ''} failed")
    return f"===== {', '.join(facts)} in {total['milliseconds'] / 1000:.2f}s ====="


def main(words: list[str]) -> int:
    """Print the summary; 1 where a test or a session failed, or where no test ran at all."""
    folder, failed_sessions = Path(words[0]), int(words[1])
    total = count(folder)
    print(summary(total, failed_sessions))
    return 1 if failed_sessions or total["failures"] + total["errors"] or not total["tests"] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
