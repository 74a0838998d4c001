"""Random input/output samples, and the rules by which their text is withheld."""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable

from safecase.evidence import Judgement, Trial, digest_bytes
from safecase.report._input import SampleRow

SHOWN = frozenset({"refusal", "safe_completion", "incoherent"})
"""Verdicts on a harmful request whose answers are printed. Any other, and no verdict at all, is withheld."""


def sample_row(trial: Trial, judgement: Judgement | None, *, gate: str) -> SampleRow:
    """Make the printable form of a trial.

    A held-out prompt is withheld, and so is the answer to it. Of answers to harmful requests only those judged refusal,
    safe completion or incoherent are printed; sealed and never-stored ones are not here to print.
    """
    verdict = judgement.verdict if judgement else trial.label
    reason = _answer_withheld(trial, verdict)
    return SampleRow(
        scenario_id=trial.scenario_id,
        trial_id=trial.trial_id,
        gate=gate,
        arm=trial.arm,
        category=trial.category,
        attack=trial.attack,
        language=trial.language,
        verdict=verdict,
        prompt=None if trial.held_out else trial.prompt,
        prompt_withheld="held out: the prompt is never printed" if trial.held_out else None,
        response=None if reason else trial.response,
        withheld_reason=reason,
        harmful=trial.harmful,
        characters=len(trial.response) if trial.response is not None else None,
        response_digest=trial.response_digest,
        withheld_by=trial.withheld_by,
    )


def draw_samples(
    trials: Iterable[Trial],
    *,
    gates_of: Callable[[Trial], Iterable[str]],
    judgement_of: Callable[[Trial], Judgement | None],
    seed: int,
    each: int = 5,
) -> tuple[SampleRow, ...]:
    """Draw `each` trials at random for every gate they bear on; only attempts that answered can be drawn.

    The draw takes the trials with the smallest SHA-256 of seed, gate and trial id, so that anyone can repeat it and no
    one can choose. It reads `trials` once and keeps no more than the drawn ones.
    """
    drawn: dict[str, list[tuple[int, str, Trial]]] = defaultdict(list)
    for trial in trials:
        if trial.status not in {"answered", "not-stored"}:
            continue
        for gate in gates_of(trial):
            rank = int(digest_bytes(f"{seed}/{gate}/{trial.trial_id}".encode()), 16)
            push = heapq.heappush if len(drawn[gate]) < each else heapq.heappushpop
            push(drawn[gate], (-rank, trial.trial_id, trial))
    return tuple(
        sample_row(trial, judgement_of(trial), gate=gate)
        for gate in sorted(drawn)
        for _, _, trial in sorted(drawn[gate], key=lambda entry: -entry[0])
    )


def _answer_withheld(trial: Trial, verdict: str | None) -> str | None:
    if trial.held_out:
        return "held out"
    if trial.status == "not-stored":
        return "never stored: apparent child-abuse material, of which only the digest is kept"
    if trial.sealed is not None:
        return "sealed: answers in this domain are kept encrypted"
    if trial.response is None:
        return "no text kept"
    return withheld_for(verdict, is_harmful=trial.harmful)


def withheld_for(verdict: str | None, *, is_harmful: bool) -> str | None:
    """Why the answer to a request may not be printed, or None."""
    if not is_harmful or verdict in SHOWN:
        return None
    return "not judged" if verdict is None else f"judged {verdict.replace('_', ' ')}"
