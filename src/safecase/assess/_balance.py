"""What is measured in pairs: political balance, and harmful requests against their own twins.

Political answers are kept out of every other rate: they are harmless requests of a kind that no over-refusal gate was
set for, and they would move its figure with their number.
"""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from safecase.assess._case import Case, Clock
from safecase.assess._slots import is_counted_import
from safecase.compose import LEARNED, POLITICAL, place_of
from safecase.declare import Framework, Sampling
from safecase.evidence import Estimate, Judgement, Trial, Verdict
from safecase.measure import (
    GAPS,
    HUMAN_PREFIX,
    PLAIN_ATTACKS,
    RUBRIC_PREFIX,
    BalanceRubric,
    JudgeCard,
    PlannedSide,
    estimate_balance,
    estimate_discernment,
    planned_order,
    side_answer,
    twin_answer,
)
from safecase.models import open_model
from safecase.run import PlannedTrial

_KNOWN = frozenset({"human", "stack", "screen"})
_BATCH = 256


def is_political(trial: Trial) -> bool:
    """Whether a trial is one of a political pair or a statement to agree with."""
    return trial.category in POLITICAL


async def read_with_rubric(case: Case, *, now: Clock) -> int:
    """Have the case's rubric read every political answer that it has not read, and keep the readings as evidence.

    Returns:
        How many answers it read; 0 for a case without a rubric.
    """
    asked = case.spec.balance
    if asked is None or asked.rubric is None:
        return 0
    rubric = BalanceRubric(open_model(asked.rubric.removeprefix("llm/")))
    try:
        read = case.judgements.read({"judge": rubric.id})
        have = {row.trial_id for row in read if row.judge_digest == rubric.digest}
        wanted = [
            trial
            for trial in case.trials.read({"category": sorted(POLITICAL), "status": "answered"})
            if trial.trial_id not in have and trial.response is not None
        ]
        for start in range(0, len(wanted), _BATCH):
            batch = await _read(rubric, wanted[start : start + _BATCH])
            case.judgements.append(batch, at=now())
    finally:
        await rubric.model.aclose()
    return len(wanted)


async def _read(rubric: BalanceRubric, trials: Sequence[Trial]) -> list[Judgement]:
    """Readings of these answers, as many at once as the model advises."""
    gate = asyncio.Semaphore(rubric.model.concurrency)

    async def one(trial: Trial) -> Judgement:
        async with gate:
            return await rubric.read(trial_id=trial.trial_id, request=trial.prompt, answer=trial.response or "")

    return list(await asyncio.gather(*(one(trial) for trial in trials)))


def paired_estimates(case: Case, framework: Framework, *, judge_digest: str, card: JudgeCard) -> tuple[Estimate, ...]:
    """Discernment, and the political gaps where the case asks for them or an import holds some. Writes nothing."""
    plan = case.plan
    planned = {one.trial_id: one for one in (case.planned(plan) if plan else [])}
    return (
        *_discernment(
            case,
            planned,
            is_bandit=plan is not None and Sampling.model_validate(plan.sampling).allocation == "bandit",
            judge_digest=judge_digest,
            card=card,
        ),
        *_political(case, framework, planned, judge_digest=judge_digest, card=card),
    )


def _political(
    case: Case, framework: Framework, planned: Mapping[str, PlannedTrial], *, judge_digest: str, card: JudgeCard
) -> tuple[Estimate, ...]:
    trials = list(_trials(case, {"category": sorted(POLITICAL)}, planned))
    if not trials:
        return ()
    verdicts, labels = _judgements(case, trials, judge_digest)
    rubric = case.spec.balance.rubric if case.spec.balance else None
    readings = _readings(case) if rubric else {}
    answers = [
        answer
        for trial in trials
        if (
            answer := side_answer(
                trial,
                verdicts.get(trial.trial_id),
                labels.get(trial.trial_id),
                reading=readings.get(trial.trial_id),
                has_rubric=rubric is not None,
            )
        )
    ]
    slots = [
        PlannedSide(
            arm=one.arm.name,
            category=one.scenario.category,
            place=place,
            topic=one.scenario.subcategory,
        )
        for one in planned.values()
        if one.scenario.category in POLITICAL
        and (place := place_of(one.scenario.intent_id, one.scenario.category)) is not None
    ]
    return estimate_balance(
        answers,
        planned=slots,
        order=planned_order(slots),
        card=card,
        gates=[gate for gate in framework.gates if gate.measure in GAPS.values()],
        text_judge="rules" if rubric is None else f"{RUBRIC_PREFIX}{rubric}",
    )


def _discernment(
    case: Case, planned: Mapping[str, PlannedTrial], *, is_bandit: bool, judge_digest: str, card: JudgeCard
) -> tuple[Estimate, ...]:
    trials = [trial for trial in _trials(case, {"attack": PLAIN_ATTACKS}, planned) if not is_political(trial)]
    have = {trial.trial_id for trial in trials}
    slots = [
        one
        for one in planned.values()
        if one.scenario.attack in PLAIN_ATTACKS
        and one.scenario.category not in POLITICAL
        and one.scenario.subcategory != LEARNED
    ]
    sides = {(trial.intent_id, trial.harmful) for trial in trials}
    sides |= {(one.scenario.intent_id, one.scenario.harmful) for one in slots}
    paired = {intent for intent, harmful in sides if harmful and (intent, False) in sides}
    trials = [trial for trial in trials if trial.intent_id in paired]
    if not trials:
        return ()
    verdicts, labels = _judgements(case, trials, judge_digest)
    return estimate_discernment(
        [twin_answer(t, verdicts.get(t.trial_id), labels.get(t.trial_id)) for t in trials],
        due=Counter((s.arm.name, s.scenario.intent_id) for s in slots if s.scenario.intent_id in paired),
        order=list(dict.fromkeys(s.scenario.intent_id for s in slots)),
        categories={s.scenario.intent_id: s.scenario.category for s in slots},
        card=card,
        across_categories=not is_bandit or all(s.trial_id in have for s in slots),
    )


def _trials(case: Case, where: Mapping[str, object], planned: Mapping[str, PlannedTrial]) -> Iterator[Trial]:
    """Trials of the plan, and imports into arms that it lacks."""
    plan = case.plan
    return (t for t in case.standing(where) if t.trial_id in planned or is_counted_import(t, plan))


def _judgements(case: Case, trials: list[Trial], judge_digest: str) -> tuple[dict[str, Judgement], dict[str, Verdict]]:
    """This judge's verdicts (and those that need none), and people's later labels, by trial."""
    wanted = {trial.trial_id for trial in trials}
    verdicts: dict[str, Judgement] = {}
    labels: dict[str, Verdict] = {}
    for row in case.judgements.read():
        if row.trial_id not in wanted:
            continue
        if row.judge.startswith(HUMAN_PREFIX) and row.verdict is not None:
            labels[row.trial_id] = row.verdict
        elif row.judge in _KNOWN or row.judge_digest == judge_digest:
            verdicts[row.trial_id] = row
    return verdicts, labels


def _readings(case: Case) -> dict[str, Judgement]:
    return {row.trial_id: row for row in case.judgements.read() if row.judge.startswith(RUBRIC_PREFIX)}
