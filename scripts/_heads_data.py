"""Read the rows that heads learn from, keep guard and judge apart, and split what belongs together to one side."""

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from safecase.detect import normalise

Row = Mapping[str, Any]  # a parsed JSON line; its columns differ from file to file


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One labelled text of one task.

    Attributes:
        row_id: id of the row it came from.
        text: what the head reads. parts: every text of the row (prompt, response, goal), for the overlap check.
        group: rows of a group never part; see `join_groups`.
        train_only: written or derived to teach, so nothing is measured on it.
    """

    row_id: str
    source: str
    licence: str
    label_source: str
    language: str
    text: str
    parts: tuple[str, ...]
    group: str
    positive: bool
    train_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a task takes from one data file.

    Attributes:
        label: True for a positive row, False for a negative one, None to leave the row out.
        reads: the column the head reads.
    """

    file: str
    label: Callable[[Row], bool | None]
    reads: str = "text"


def read_rows(folder: Path, name: str) -> list[Row]:
    with (folder / f"{name}.jsonl").open(encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def read_items(folder: Path, sources: Iterable[Source]) -> list[Item]:
    items = []
    for source in sources:
        for row in read_rows(folder, source.file):
            label = source.label(row)
            if label is None or not str(row[source.reads]).strip():
                continue
            parts = [str(row[column]) for column in ("text", "response", "goal") if row.get(column)]
            items.append(
                Item(
                    row_id=row["id"],
                    source=source.file,
                    licence=row["licence"],
                    label_source=row["label_source"],
                    language=row["language"],
                    text=str(row[source.reads]),
                    parts=tuple(parts),
                    group=row["group_id"],
                    positive=label,
                )
            )
    return items


# --- Our own texts ----------------------------------------------------------------------------------------------------

FRAMES: Mapping[str, tuple[str, ...]] = {
    "do": (
        "How do I {}?",
        "What is the best way to {}?",
        "Give me step-by-step instructions to {}.",
        "I want to {}. Where do I start?",
        "Explain how to {}.",
        "how can i {}",
        "{}",
        "Teach me to {}",
    ),
    "write": ("Write {}.", "Can you draft {}?", "Please create {} for me.", "I need {}.", "write me {}", "Develop {}"),
    "ask": ("{}",),
    "persona": (
        "I want you to act as {0}. I will describe my situation, and you will answer as {0} would. Ask me one question "
        "at a time, wait for my answer, and do not write explanations unless I ask for them. My first request is: "
        "please introduce yourself.",
        "You are {0}. Stay friendly and brief. When you do not know something, say so. Pretend that we are meeting for "
        "the first time, and play your role until I say stop. Let us begin.",
        "From now on, imagine that you are {0}. Reply in the style that {0} would use, with examples from daily work. "
        "First, list the rules that you will follow in this conversation. Then give me three ideas for this week, and "
        "explain for each one what it costs, how long it takes and what could go wrong. Use a table if it helps.",
        "Let's play a game: you take the part of {0} and I am a customer. You must stay in character, never mention "
        "that "
        "this is an exercise, and you cannot use words of more than three syllables.",
        "Act like {0}.",
        "Pretend to be {0} and tell me about your day.",
        "System: the assistant plays {0}. It answers every question in at most two sentences, ignores small typing "
        "errors, and asks back when an instruction is unclear. It always follows the law and house rules.\n"
        "User: hello, are you there?",
        "Hello ChatGPT, for the rest of this chat you will simulate {0}. Your answers come in two parts: first what "
        "{0} "
        "would say aloud, then, in brackets, what {0} is thinking. You do not need to remind me that you are a "
        "language "
        "model. If I type /help, show the list of commands; if I type /end, go back to normal. Do you understand? If "
        "so, "
        "answer only with 'Ready', and wait for me to describe the first scene.",
        "Your task is to help me train for my exam. Take the role of {0}. I will give you a topic in {{curly "
        "brackets}}, "
        "and you respond without any small talk. Always begin with the topic, continue with the main point, and end "
        "with "
        "a question to me. No matter how often I fail, be patient and never give me the answer at once. Remember: you "
        "are {0}, not an assistant.",
    ),
}


def read_seeds(path: Path, *, frames_each: int = 3) -> dict[str, list[Item]]:
    """Our own requests by label, each in up to `frames_each` frames; the frames are the same for every label."""
    found: dict[str, list[Item]] = defaultdict(list)
    for label, shape, number, line in _labelled_lines(path):
        frames = FRAMES[shape]
        start = int(_sha(line)[:8], 16)
        for turn in range(min(frames_each, len(frames))):
            frame = (start + turn) % len(frames)
            # A persona's long frames are more alike than its names: there the frame is what must not be split.
            group = f"{shape}-{frame}" if shape == "persona" else f"{number}"
            own = _own(path, f"{number}-{turn}", text=frames[frame].format(line), group=f"{path.stem}:{group}")
            found[label].append(own)
    return dict(found)


def read_crosses(path: Path, *, each: int) -> dict[str, list[Item]]:
    """Our own texts combined from columns, by label; `each` of every line's combinations, chosen by hash."""
    found: dict[str, list[Item]] = defaultdict(list)
    for label, shape, number, line in _labelled_lines(path):
        frames = FRAMES[shape]
        columns = [[part.strip() for part in column.split(" | ")] for column in line.split(" # ")]
        texts = sorted((" ".join(parts) for parts in product(*columns)), key=_sha)[:each]
        for turn, text in enumerate(texts):
            framed = frames[int(_sha(text)[-8:], 16) % len(frames)].format(text)
            own = _own(path, f"{number}-{turn}", text=framed, group=f"{path.stem}:{number}")
            found[label].append(replace(own, train_only=True))
    return dict(found)


def _labelled_lines(path: Path) -> Iterator[tuple[str, str, int, str]]:
    """(label, shape, line number, line) of a file of `[label shape]` sections."""
    label = shape = ""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if header := re.fullmatch(r"\[(\w+) (\w+)\]", line):
            label, shape = header[1], header[2]
        elif line.strip() and not line.startswith("# "):
            yield label, shape, number, line.strip()


def _own(path: Path, number: str, *, text: str, group: str) -> Item:
    return Item(
        row_id=f"{path.stem}:{number}",
        source=f"safecase {path.stem}",
        licence="Apache-2.0",
        label_source="by_construction",
        language="en",
        text=text,
        parts=(text,),
        group=group,
        positive=False,  # a task says what a label means to it
    )


# --- Keeping texts apart ----------------------------------------------------------------------------------------------


def short_digest(text: str) -> str:
    """The first 12 hex digits of a SHA-256, as cards list them."""
    return _sha(text)[:12]


def text_digests(item: Item) -> set[str]:
    """Digests of every text of a row alone and of all together, normalised."""
    plain = [normalise(part) for part in item.parts]
    return {short_digest(part) for part in [*plain, "\n".join(plain)]}


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", normalise(text))


def shingles(words: Sequence[str], size: int = 4) -> frozenset[str]:
    """Runs of `size` words; a shorter text is one run."""
    return (
        frozenset(" ".join(words[i : i + size]) for i in range(max(1, len(words) - size + 1))) if words else frozenset()
    )


class Overlap:
    """Tells whether a text repeats one of a set: the same words, or most of the runs of four words of either."""

    def __init__(self, texts: Iterable[str], *, most: float = 0.6) -> None:
        self._most = most
        self._exact: set[str] = set()
        self._sizes: list[int] = []
        self._where: dict[str, list[int]] = defaultdict(list)
        for text in texts:
            words = words_of(text)
            joined = " ".join(words)
            if joined in self._exact:
                continue
            self._exact.add(joined)
            runs = shingles(words)
            for run in runs:
                self._where[run].append(len(self._sizes))
            self._sizes.append(len(runs))

    def holds(self, text: str) -> bool:
        words = words_of(text)
        if " ".join(words) in self._exact:
            return True
        runs = shingles(words)
        common = Counter(i for run in runs for i in self._where.get(run, ()))
        return any(count >= self._most * max(1, min(len(runs), self._sizes[i])) for i, count in common.items())


def join_groups(items: Sequence[Item], *, alike: float = 0.5) -> dict[str, str]:
    """Join groups that share a prompt, or prompts that are alike (Jaccard of runs of three words), across data sets.

    Returns:
        Each group's representative, the smallest group id of its component.
    """
    parent = {item.group: item.group for item in items}

    def find(group: str) -> str:
        while parent[group] != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    texts = [shingles(words_of(item.parts[0]), 3) for item in items]
    where: dict[str, list[int]] = defaultdict(list)
    for i, runs in enumerate(texts):
        common = Counter(j for run in runs if len(where[run]) < 60 for j in where[run])
        for j, count in common.items():
            if count >= alike * len(runs | texts[j]):
                low, high = sorted((find(items[i].group), find(items[j].group)))
                parent[high] = low
        for run in runs:
            where[run].append(i)
    return {group: find(group) for group in parent}


def held_out_groups(items: Sequence[Item], *, share: float, seed: int) -> set[str]:
    """The groups to hold out: in each data set the first by hash, until `share` of its rows is reached.

    A group that spans data sets counts where its first row (by id) stands, so it goes to one side everywhere.
    """
    members: dict[str, list[Item]] = defaultdict(list)
    for item in sorted(items, key=lambda item: item.row_id):
        members[item.group].append(item)
    by_source: dict[str, list[str]] = defaultdict(list)
    for group in sorted(members, key=lambda group: _sha(f"safecase-split:{seed}:{group}")):
        by_source[members[group][0].source].append(group)
    chosen: set[str] = set()
    for groups in by_source.values():
        wanted = share * sum(len(members[group]) for group in groups)
        for group in groups:
            if wanted >= len(members[group]) / 2:
                chosen.add(group)
                wanted -= len(members[group])
    return chosen
