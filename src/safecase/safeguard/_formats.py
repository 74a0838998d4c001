"""The formats that guard models are asked in and answer in, as an explicit list.

| format | asked | answers |
|---|---|---|
| `words` | the turns | its first word is one of the stack file's own |
| `llama-guard` | the turns | `safe`, or `unsafe` and a line of categories, `S1,S10` |
| `prompt-guard` | each string alone, in pieces | a label, or an object with `label` and `score`, or a list of such |
| `shieldgemma` | the principles and the quoted exchange | `Yes` (it breaches) or `No` |
| `granite-guardian` | the turns | `Yes` or `No`, bare or in `<score>`, with a confidence or not |
| `safeguard-policy` | the principles and the quoted exchange | `{"violation": 0 or 1, "policy_category": ...}` |

Reading is strict: an answer that is not wholly of its format gives no ruling, and a required layer then withholds. It
is strict about what would let through, too: `safe` with anything after it is not `safe`.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from safecase.safeguard._values import Ground, Ruling

GuardFormat = Literal["words", "llama-guard", "prompt-guard", "shieldgemma", "granite-guardian", "safeguard-policy"]
Asking = Literal["turns", "pieces", "policy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a stack file says of a guard model's answers.

    Attributes:
        allows, withholds: first words, for `words`.
        threshold: score from which on a label with a score withholds.
        principle: what a ruling rests on, where `principles` does not say.
        principles: by category, as the model names it.
        ignored: categories that alone do not withhold.
    """

    allows: tuple[str, ...] = ("safe",)
    withholds: tuple[str, ...] = ("unsafe",)
    threshold: float = 0.5
    principle: str | None = None
    principles: Mapping[str, str] | None = None
    ignored: frozenset[str] = frozenset()

    def ruling(self, categories: Sequence[str] = (), *, score: float = 1.0) -> Ruling:
        """What a breach comes to, by its categories; allowed where all of them are ignored."""
        counted = [category for category in categories if category not in self.ignored]
        if categories and not counted:
            return Ruling(action="allow", score=score)
        grounds = tuple(Ground(rule=category, principle=self._principle(category)) for category in counted)
        principle = grounds[0].principle if grounds else self.principle
        return Ruling(action="withhold", score=score, principle=principle, grounds=grounds)

    def _principle(self, category: str) -> str | None:
        return (self.principles or {}).get(category, self.principle)


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How a guard model is asked, and how its answer is read."""

    asking: Asking
    read: Callable[[str, Reading], Ruling]


def _unread(what: str) -> Ruling:
    return Ruling(action="withhold", error=f"the guard model's answer is not {what}")


_ALLOW = Ruling(action="allow", score=0.0)
_MOST_CATEGORIES = 20
_CATEGORY = re.compile(r"[A-Z]{1,3}\d{1,2}")


def _words(text: str, reading: Reading) -> Ruling:
    word = (text.split() or [""])[0].strip(".,:;").lower()
    if word in reading.allows:
        return _ALLOW
    return reading.ruling() if word in reading.withholds else _unread("one of its words")


def _llama_guard(text: str, reading: Reading) -> Ruling:
    lines = text.split()
    if lines == ["safe"]:
        return _ALLOW
    if not lines or lines[0] != "unsafe":
        return _unread("`safe`, or `unsafe` with categories")
    categories = [one for one in ",".join(lines[1:]).split(",") if one]
    if len(categories) > _MOST_CATEGORIES or not all(map(_CATEGORY.fullmatch, categories)):
        return _unread("`safe`, or `unsafe` with categories")
    return reading.ruling(categories)


_BENIGN = frozenset({"benign", "safe", "label_0"})
_ATTACKS = frozenset({"malicious", "injection", "jailbreak", "unsafe", "label_1", "label_2"})


def _prompt_guard(text: str, reading: Reading) -> Ruling:
    said = _json(text)
    label_only = text.strip().lower() if said is None else None
    found = [label_only] if label_only else said if isinstance(said, list) else [said]
    labels = [_label(one) for one in found]
    if not labels or None in labels:
        return _unread("a label, or labels with scores")
    known = [one for one in labels if one is not None]
    attacks = [(name, score) for name, score in known if name in _ATTACKS]
    top = max((score for _, score in attacks), default=0.0)
    crossed = [name for name, score in attacks if score >= reading.threshold]
    return reading.ruling(crossed, score=top) if crossed else Ruling(action="allow", score=top)


def _label(said: Any) -> tuple[str, float] | None:  # `Any`: whatever came out of JSON
    name, score = said, 1.0
    if isinstance(said, dict):
        name, score = said.get("label"), said.get("score", 1.0)
    if not isinstance(name, str) or isinstance(score, bool) or not isinstance(score, int | float):
        return None
    name = name.strip().lower()
    is_known = name in _BENIGN or name in _ATTACKS
    return (name, float(score)) if is_known and math.isfinite(score) and 0 <= score <= 1 else None


def _yes_no(text: str, reading: Reading) -> Ruling:
    word = text.strip().rstrip(".").lower()
    if word == "no":
        return _ALLOW
    return reading.ruling() if word == "yes" else _unread("`Yes` or `No`")


_GRANITE = re.compile(
    r"(?:<think>.*?</think>)?\s*(?:<score>\s*(?P<score>yes|no)\s*</score>|(?P<plain>yes|no))\s*"
    r"(?:<confidence>\s*\w+\s*</confidence>)?",
    re.IGNORECASE | re.DOTALL,
)


def _granite(text: str, reading: Reading) -> Ruling:
    found = _GRANITE.fullmatch(text.strip())
    return _yes_no(found["score"] or found["plain"], reading) if found else _unread("`yes` or `no`, or a score of it")


def _policy(text: str, reading: Reading) -> Ruling:
    said = _json(text)
    if not isinstance(said, dict) or type(said.get("violation")) not in (int, bool) or said["violation"] not in (0, 1):
        return _unread("an object with `violation` 0 or 1")
    if not said["violation"]:
        return _ALLOW
    category = said.get("policy_category")
    known = isinstance(category, str) and category in (reading.principles or {})
    return reading.ruling([str(category)] if known else [])


def _json(text: str) -> Any:  # whatever came out of JSON
    try:
        return json.loads(text.strip().removeprefix("```json").strip("`\n "))
    except (ValueError, RecursionError):
        return None


FORMATS: Mapping[GuardFormat, Format] = {
    "words": Format(asking="turns", read=_words),
    "llama-guard": Format(asking="turns", read=_llama_guard),
    "prompt-guard": Format(asking="pieces", read=_prompt_guard),
    "shieldgemma": Format(asking="policy", read=_yes_no),
    "granite-guardian": Format(asking="turns", read=_granite),
    "safeguard-policy": Format(asking="policy", read=_policy),
}
