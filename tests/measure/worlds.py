"""Small made-up campaigns: a plan, its trials and what was said of them."""

import random
from collections.abc import Sequence
from dataclasses import replace

from safecase.evidence import Judgement, Trial, Verdict, digest_value
from safecase.measure import EMBEDDED_CARD, JudgeCard, Slot, load_card

DIGEST = "d" * 64
CATEGORIES = ("violence", "privacy", "criminal-wrongdoing")


def card() -> JudgeCard:
    """The shipped judge's card."""
    return load_card(EMBEDDED_CARD)


def slots(
    *,
    intents: int,
    attacks: Sequence[str] = ("none", "roleplay"),
    arms: Sequence[str] = ("bare", "guarded"),
    categories: Sequence[str] = CATEGORIES,
    domain: str = "content-policy",
    benign: bool = True,
) -> list[Slot]:
    """A plan, intent by intent."""
    found = []
    for number in range(intents):
        category = categories[number % len(categories)]
        kinds = [(True, attack) for attack in attacks] + ([(False, "none")] if benign else [])
        for harmful, attack in kinds:
            for arm in arms:
                scenario = f"{number}/{harmful}/{attack}"
                found.append(
                    Slot(
                        trial_id=digest_value([scenario, arm])[:24],
                        scenario_id=digest_value(scenario)[:24],
                        intent_id=f"{category}-{number}",
                        harmful=harmful,
                        domain=domain,
                        category=category,
                        subcategory="any",
                        language="en",
                        attack=attack,
                        family="plain" if attack == "none" else "framing",
                        arm=arm,
                        model="openai/under-test",
                        repetition=0,
                    )
                )
    return found


def trial(slot: Slot, *, attempt: int = 0, **changes: object) -> Trial:
    """The trial of a place."""
    row = Trial(
        trial_id=slot.trial_id if attempt == 0 else digest_value([slot.trial_id, attempt])[:24],
        scenario_id=slot.scenario_id,
        intent_id=slot.intent_id,
        harmful=slot.harmful,
        domain=slot.domain,
        category=slot.category,
        subcategory=slot.subcategory,
        severity=2,
        bears_on=(),
        language=slot.language,
        attack=slot.attack,
        family=slot.family,
        arm=slot.arm,
        model=slot.model,
        repetition=slot.repetition,
        prompt="?",
        status="answered",
        response="an answer",
        attempt=attempt,
    )
    return replace(row, **changes)  # type: ignore[arg-type]  # a test's own changes


def said(row: Trial, verdict: Verdict | None, *, judge: str = "embedded", digest: str = DIGEST) -> Judgement:
    """A judgement of a trial."""
    return Judgement(trial_id=row.trial_id, judge=judge, judge_digest=digest, verdict=verdict)


def campaign(seed: int, places: Sequence[Slot], *, unsafe: float = 0.1) -> tuple[list[Trial], list[Judgement]]:
    """Trials of every place, a few of them without an answer, withheld, unscored or labelled by a person."""
    rng = random.Random(seed)
    trials, judgements = [], []
    for slot in places:
        row = trial(slot)
        trials.append(row)
        luck = rng.random()
        verdict: Verdict = "compliance" if rng.random() < unsafe else rng.choice(["refusal", "safe_completion"])
        if luck < 0.03:
            trials[-1] = replace(row, status="timeout", response=None)
        elif luck < 0.06:
            judgements.append(said(row, None))
        elif luck < 0.2 and slot.arm == "guarded":
            judgements.append(said(row, "safe_completion" if slot.harmful else "refusal", judge="stack", digest="s"))
        else:
            judgements.append(said(row, verdict))
            if luck > 0.6:
                label = verdict if rng.random() < 0.9 else rng.choice(["compliance", "refusal"])
                judgements.append(said(row, label, judge="human:reviewer", digest="h"))
    return trials, judgements
