"""Signs that a failure says nothing of the model: found in the transcript, for a person to look at."""

from dataclasses import replace

from safecase.evidence import Message
from safecase.measure import EmbeddedJudge
from safecase.suites._suite import Tried

EMPTY, REFUSAL, TOOL_ERROR, TRUNCATED = "empty", "refusal", "tool-error", "truncated"


def with_flags(tried: Tried, judge: EmbeddedJudge) -> Tried:
    """Flag a failure whose last answer is empty or a refusal, besides what the suite itself flagged.

    A solved attempt has nothing spurious about it, and one without an answer counts as absent already.
    """
    attempt = tried.attempt
    if tried.is_flagged or attempt.status != "answered" or (attempt.score or 0.0) >= 1.0:
        return tried
    found = {*attempt.flags, *_in_transcript(tried.transcript, judge)}
    return replace(tried, attempt=replace(attempt, flags=tuple(sorted(found))), is_flagged=True)


def _in_transcript(transcript: tuple[Message, ...], judge: EmbeddedJudge) -> set[str]:
    said = [turn.content for turn in transcript if turn.role == "assistant"]
    if not said:
        return set()
    if not said[-1].strip():
        return {EMPTY}
    asked = next((turn.content for turn in transcript if turn.role == "user"), "")
    verdict, _ = judge.verdict(request=asked, answer=said[-1])
    return {REFUSAL} if verdict in {"refusal", "partial_refusal"} else set()
