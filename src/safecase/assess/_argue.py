"""The argument of a case as it stands today, and how its parts are found by name."""

from collections.abc import Sequence

from safecase.assess._argument import ArgumentError, arguments_of
from safecase.assess._case import Case, Clock, utc_now
from safecase.assess._stages import decide_case, decide_estimates, facts_of, measure_case
from safecase.decide import Argument, Defeater


async def argue_case(
    case: Case, *, assume_frontier: bool = False, keep: bool = False, now: Clock = utc_now
) -> tuple[Argument, ...]:
    """The argument of every context of the case, from the evidence as it is, held against the one people settled.

    Args:
        keep: decide anew and keep the argument in the case from now on; else nothing is decided or kept.

    Raises:
        NothingToRead: the case holds no trial.
    """
    if keep:
        measured, decided = await decide_case(case, assume_frontier=assume_frontier, argue=True, now=now)
    else:
        measured = await measure_case(case, now=now, write=False)
        decided = decide_estimates(case, measured.estimates, assume_frontier=assume_frontier, at=now())
    return arguments_of(case, decided, measured.estimates, facts_of(case, assume_frontier=assume_frontier), at=now())


def argument_in(arguments: Sequence[Argument], context: str) -> Argument:
    """The argument of one context.

    Raises:
        ArgumentError: the case does not decide on it.
    """
    known = {argument.context: argument for argument in arguments}
    if context not in known:
        raise ArgumentError(f"the case does not decide on context {context!r}; it does on {', '.join(known)}")
    return known[context]


def open_defeater(argument: Argument, defeater_id: str) -> Defeater:
    """The defeater of that id.

    Raises:
        ArgumentError: the argument has none of that id.
    """
    known = {one.defeater_id: one for one in argument.defeaters}
    if defeater_id not in known:
        still = ", ".join(name for name, one in known.items() if one.state == "open") or "none"
        raise ArgumentError(
            f"the argument for {argument.context!r} has no defeater {defeater_id!r}; those open are: {still}"
        )
    return known[defeater_id]
