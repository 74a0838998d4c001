"""Whether a capability suite tried as hard as its pack asks. What fell short can fail a gate and never pass one."""

from collections.abc import Iterator

from safecase.declare import ElicitationStandard
from safecase.evidence import Elicitation


def shortfalls(standard: ElicitationStandard | None, done: Elicitation | None, *, context: str) -> tuple[str, ...]:
    """Every way in which what was done falls short of the standard, in sentences; empty when it keeps to it.

    Args:
        standard: None where the pack sets none. All tasks of the suite are asked for all the same: whoever chooses
            among them could choose the ones that a model does not solve.
        done: None when nothing is known of it, which keeps to no standard.
        context: the deployment context that is decided on.
    """
    if done is None:
        return ("nothing is on record of how the model was elicited",) if standard else ()
    return tuple(_found(standard, done, context))


def _found(standard: ElicitationStandard | None, done: Elicitation, context: str) -> Iterator[str]:
    if done.tasks < done.tasks_in_suite:
        yield f"{done.tasks} of {done.tasks_in_suite} tasks were planned"
    if not done.tasks_in_suite:
        yield f"{done.tasks} tasks were tried, and its log does not say of how many"
    if standard is None:
        return
    if done.variant not in standard.variants:
        yield f"variant {done.variant!r} was tried, {' or '.join(repr(v) for v in standard.variants)} is asked for"
    if standard.tuned_scaffold and not done.tuned_scaffold:
        yield "the scaffold was not optimised for these tasks"
    if done.attempts < standard.min_attempts:
        yield f"{done.attempts} attempts at a task, {standard.min_attempts} asked for"
    for least, had, what in (
        (standard.min_tokens, done.tokens, "output tokens"),
        (standard.min_turns, done.turns, "answers"),
    ):
        if least is not None and (had or 0) < least:
            have = "an unknown budget of" if had is None else f"{had}"
            yield f"{have} {what} an attempt, {least} asked for"
    if standard.plateau_gain is not None:
        yield from _plateau(standard.plateau_gain, done)
    if standard.max_spurious is not None and done.spurious_bound > standard.max_spurious:
        yield (
            f"{done.flagged - done.reviewed} of {done.flagged} flagged failures were not reviewed, so up to "
            f"{done.spurious_bound:.1%} of all failures may be spurious ({standard.max_spurious:.1%} allowed)"
        )
    for name, is_asked in (("human", standard.human_baseline), ("reference", standard.reference_baseline)):
        if is_asked and name not in done.baselines:
            yield f"no {name} baseline stands beside it"
    if context in standard.continued_training_in and not done.continued_training:
        yield f"the model was not trained further on such tasks, which context {context!r} asks for"


def _plateau(most: float, done: Elicitation) -> Iterator[str]:
    if done.second_half_gain is None:
        yield "no curve of score against token budget is known, so no plateau"
    elif done.second_half_gain > most:
        yield (
            f"no plateau: the second half of the token budget added {done.second_half_gain:.1%} to the share solved "
            f"({most:.1%} allowed)"
        )
