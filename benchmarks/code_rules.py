"""The rules for generated code beside bandit's, on Python files that people wrote.

    python benchmarks/code_rules.py --files 1500 FOLDER...

Every file is put to the layer as a fenced block. Bandit is no truth, but it is another reader: where both know a
construct, the share that the layer finds too; how many files the layer acts on; and its time. Needs the extra `guards`.
"""

import argparse
import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from safecase.safeguard import code_scanner
from safecase.safeguard._code import code_in

# Bandit's tests for the constructs that our rules name.
SAME = {
    "B102": "code-injection",
    "B103": "open-permissions",
    "B201": "debug-left-on",
    "B202": "path-of-the-archive",
    "B301": "unsafe-deserialisation",
    "B302": "unsafe-deserialisation",
    "B306": "temporary-name",
    "B307": "code-injection",
    "B324": "weak-cryptography",
    "B501": "no-certificate-check",
    "B506": "unsafe-deserialisation",
    "B602": "shell-true",
    "B605": "shell-command",
    "B608": "sql-injection",
}


def main() -> None:
    """Read, compare, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--files", type=int, default=1_500)
    options = parser.parse_args()
    found = sorted(path for folder in options.folders for path in folder.rglob("*.py"))
    files = [path for path in found if 300 < path.stat().st_size < 30_000 and "test" not in path.as_posix()]
    random.Random(1).shuffle(files)
    files = files[: options.files]
    ours, characters, seconds = scanned(files)
    acted = sum(any(severity in ("high", "medium") for _, severity, _ in of) for of in ours.values())
    print(f"{len(files)} files, acted on {acted}; {seconds / characters * 1e6:.2f} ms per 1,000 characters")
    both: Counter[str] = Counter()
    theirs: Counter[str] = Counter()
    for one in bandit(files):
        first, last = one["line_range"][0], one["line_range"][-1]
        theirs[one["test_id"]] += 1
        both[one["test_id"]] += any(
            rule == SAME[one["test_id"]] and first - 1 <= line <= last for rule, _, line in ours[one["filename"]]
        )
    for test, count in sorted(theirs.items()):
        print(f"{test} {SAME[test]:24} {both[test]} of {count}")
    print(f"all {both.total()} of {theirs.total()}")


def scanned(files: list[Path]) -> tuple[dict[str, set[tuple[str, str, int]]], int, float]:
    """By file: rule, severity and line of every finding; then the characters read, and the seconds it took."""
    scanner, found, characters, started = code_scanner(), {}, 0, time.process_time()
    for path in files:
        text = f"```python\n{path.read_text(encoding='utf-8', errors='replace')}\n```\n"
        characters += len(text)
        found[str(path)] = {
            (one.rule, one.severity, text.count("\n", 0, one.start))
            for code in code_in(text)
            for one in scanner.scan(code, within=text)
        }
    return found, characters, time.process_time() - started


def bandit(files: list[Path]) -> list[dict[str, object]]:
    """What bandit finds, by its own JSON."""
    command = [sys.executable, "-m", "bandit", "-q", "-f", "json", "-t", ",".join(SAME), *map(str, files)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return list(json.loads(said.stdout)["results"])


if __name__ == "__main__":
    main()
